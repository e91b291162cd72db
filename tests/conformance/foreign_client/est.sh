# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Certificates (est.md).

est_url() { printf '%s/%s' "$(jq -r .est "$DIR/issuer.json")" "$1"; }
cacerts() {
    request "$DIR/cacerts.p7" "$(est_url cacerts)"
    expect "$DIR/cacerts.p7" 200
    certificates "$DIR/cacerts.p7" "$DIR/credential-cas.pem"
}
csrattrs() {
    request "$DIR/csrattrs" "$(est_url "$1/csrattrs")"
    expect "$DIR/csrattrs" 200 204
    [[ $STATUS == 204 ]] || tr -d '\r\n ' <"$DIR/csrattrs" | openssl base64 -d -A | openssl asn1parse -inform DER
}
certificates() { # IN OUT: the certificates of a base64 certs-only CMS, as PEM
    tr -d '\r\n ' <"$1" | openssl base64 -d -A | openssl pkcs7 -inform DER -print_certs | sed '/^subject=\|^issuer=\|^$/d' >"$2"
    [[ -s $2 ]] || fail "no certificate in the answer"
}

est() { # PURPOSE OPERATION CSR.der OUT
    mapfile -t identity < <(device_identity)
    base64_line <"$3" >"$DIR/$1.body"
    { cat "$DIR/enrollment-bearer" && printf '\nLink-Proof: %s\n' "$(link_proof "$1" "$DIR/$1.body" "$DIR/link.key")"; } >"$DIR/$1.headers"
    request "$4" "$(est_url "$1/$2")" "${identity[@]}" --header "@$DIR/$1.headers" \
        --header 'Content-Type: application/pkcs10' --header 'Content-Transfer-Encoding: base64' --data-binary "@$DIR/$1.body"
    expect "$4" 200
}

enroll() { # PURPOSE KEY
    [[ -e $DIR/$1.csr ]] || openssl req -new -key "$2" -subj "/CN=$1" -outform DER -out "$DIR/$1.csr"
    est "$1" simpleenroll "$DIR/$1.csr" "$DIR/$1.p7"
    certificates "$DIR/$1.p7" "$DIR/$1.pem"
    same_key "$DIR/$1.pem" "$2"
    openssl x509 -in "$DIR/$1.pem" -noout -subject -serial -enddate
}

same_key() { # CERTIFICATE KEY
    [[ $(openssl x509 -in "$1" -noout -pubkey) == "$(openssl pkey -in "$2" -pubout)" ]] || fail "the certificate is for another key"
}

enroll_signature() {
    [[ -e $DIR/signature.key ]] || openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$DIR/signature.key"
    enroll signature "$DIR/signature.key"
}
