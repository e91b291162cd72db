# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The encryption key: made by the server, sealed for a transport key of this client (est.md, RFC 7030 section 4.4).

transport_csr() { # KEY OUT: a PKCS #10 with AsymmetricDecryptKeyIdentifier, which `openssl req` cannot write
    local key=$1 out=$2 work public identifier
    work=$(mktemp -d "$DIR/csr.XXXXXX")
    openssl rsa -in "$key" -RSAPublicKey_out -outform DER -out "$work/public" 2>/dev/null
    public=$(hex <"$work/public")
    identifier=$(openssl dgst -sha1 -binary "$work/public" | hex) # RFC 5280 section 4.2.1.2, method 1
    cat >"$work/info.conf" <<INFO
asn1 = SEQUENCE:info
[info]
version = INTEGER:0
subject = SEQUENCE
key = SEQUENCE:key
attributes = IMPLICIT:0,SET:attributes
[key]
algorithm = SEQUENCE:rsa
public = FORMAT:HEX,BITSTRING:$public
[rsa]
algorithm = OID:1.2.840.113549.1.1.1
parameters = NULL
[attributes]
identifier = SEQUENCE:identifier
[identifier]
type = OID:1.2.840.113549.1.9.16.2.54
values = SET:identifiers
[identifiers]
value = FORMAT:HEX,OCTETSTRING:$identifier
INFO
    openssl asn1parse -genconf "$work/info.conf" -noout -out "$work/info"
    openssl dgst -sha256 -sign "$key" -out "$work/signature" "$work/info"
    # The request is a SEQUENCE of what was signed, the algorithm (sha256WithRSAEncryption) and the signature.
    cat >"$work/rest.conf" <<REST
asn1 = SEQUENCE:rest
[rest]
algorithm = SEQUENCE:algorithm
signature = FORMAT:HEX,BITSTRING:$(hex <"$work/signature")
[algorithm]
type = OID:1.2.840.113549.1.1.11
parameters = NULL
REST
    openssl asn1parse -genconf "$work/rest.conf" -noout -out "$work/rest"
    der_sequence "$(hex <"$work/info")$(content_of "$work/rest" | hex)" >"$out"
    openssl req -inform DER -in "$out" -noout -verify 2>/dev/null || fail "the request does not verify"
    rm -r "$work"
}

content_of() { # FILE: the content octets of the outermost DER value
    local header
    header=$(openssl asn1parse -inform DER -in "$1" | sed -n '1s/.*hl=\([0-9]*\).*/\1/p')
    tail -c "+$((header + 1))" "$1"
}

der_sequence() { # HEX: a SEQUENCE of 256 to 65535 octets, the size of every request here
    local length=$((${#1} / 2))
    ((length > 255 && length < 65536)) || fail "a request of $length octets"
    # shellcheck disable=SC2001 # every pair of digits, not one
    printf '%b' "$(printf '3082%04x%s' "$length" "$1" | sed 's/../\\x&/g')"
}

part() { # NUMBER FILE BOUNDARY: the body of one part of a multipart message
    tr -d '\r' <"$2" | awk -v part="$1" -v mark="--$3" '
        index($0, mark) == 1 { count++; body = 0; next }
        count == part && body { print }
        $0 == "" { body = 1 }'
}

serverkeygen() {
    [[ -e $DIR/transport.key ]] || openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$DIR/transport.key"
    [[ -e $DIR/encryption.csr ]] || transport_csr "$DIR/transport.key" "$DIR/encryption.csr"
    cacerts
    est encryption serverkeygen "$DIR/encryption.csr" "$DIR/encryption.multipart"
    open_answer "$DIR/encryption.multipart" "$DIR/transport.key" "$DIR/credential-cas.pem" "$DIR/encryption"
    openssl x509 -in "$DIR/encryption.pem" -noout -subject -serial -enddate
}

open_answer() { # ANSWER KEY CAS OUT: EnvelopedData(SignedData(AsymmetricKeyPackage)) and certificate to OUT.key, OUT.pem
    local answer=$1 key=$2 cas=$3 out=$4 boundary work
    boundary=$(sed -n 's/\r$//; s/^[Cc]ontent-[Tt]ype:.*boundary="\{0,1\}\([^";]*\)"\{0,1\}.*/\1/p' "$answer.header")
    [[ $boundary ]] || fail "the answer is not multipart"
    work=$(mktemp -d "$DIR/key.XXXXXX")
    part 1 "$answer" "$boundary" | tr -d '\n ' | openssl base64 -d -A >"$work/enveloped"
    part 2 "$answer" "$boundary" >"$work/certificates"
    openssl cms -decrypt -binary -inform DER -in "$work/enveloped" -inkey "$key" -out "$work/signed" 2>"$work/errors" ||
        fail "the key is not sealed for this client: $(cat "$work/errors")"
    openssl cms -verify -binary -inform DER -in "$work/signed" -CAfile "$cas" -no-CAstore -no-CApath -partial_chain \
        -purpose any -out "$work/package" 2>"$work/errors" || fail "the key is not signed by the issuer: $(cat "$work/errors")"
    content_of "$work/package" >"$work/key" # an AsymmetricKeyPackage is a SEQUENCE of keys, here of one
    openssl pkey -inform DER -in "$work/key" -out "$out.key" || fail "no key in the package"
    certificates "$work/certificates" "$out.pem"
    same_key "$out.pem" "$out.key"
    rm -r "$work"
}
