# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The link between a card session and this client (link.md).

digits() { # LINK SECRET KEY
    local octet number=0 mac
    mac=$({ printf 'etymon-link-digits/1\0%s\0' "$1"; key_info "$3" | sha256; } |
        openssl dgst -sha256 -mac HMAC -macopt "hexkey:$(from_base64url "$2" | hex)" -binary | head -c 8 | hex)
    while [[ $mac ]]; do # big-endian, modulo a million octet by octet: 64 bits do not fit bash's signed numbers
        octet=$((16#${mac:0:2})) mac=${mac:2}
        number=$(((number * 256 + octet) % 1000000))
    done
    printf '%06d\n' "$number"
}

sign() { # KEY: sign standard input as link.md says for the key's type
    local digest=-sha256
    openssl pkey -in "$1" -noout -text | grep -q 'P-384' && digest=-sha384
    openssl dgst "$digest" -sign "$1" | base64_line
}
authorization_proof() { printf 'etymon-link-authorization/1\0%s' "$1" | sign "$2"; }
link_proof() { { printf 'etymon-link-request/1\0%s\0' "$1"; sha256 <"$2"; } | sign "$3"; }

redeem() { # LINK_URL [PASSWORD]
    local fragment=${1#*\#} password=${2:-} field version='' link='' secret='' pin='' wanted='' own
    [[ $1 == https://*/link\#* ]] || misuse "not a link of an issuer"
    while IFS= read -r -d '&' field; do
        case $field in v=*) version=${field#v=} ;; l=*) link=${field#l=} ;; s=*) secret=${field#s=} ;; p=*) pin=${field#p=} ;;
            n=*) wanted=${field#n=} ;; esac
    done <<<"$fragment&"
    [[ $version == 1 && $link && $secret && $pin ]] || misuse "not a link of version 1"
    password=${password//[ -]/}
    [[ ! $wanted || $password =~ ^[0-9]{$wanted}$ ]] || misuse "the number beside the code has $wanted digits"
    trust_pin "$1" "$pin"
    request "$DIR/issuer.json" "${1%/link\#*}/.well-known/etymon-issuer"
    expect "$DIR/issuer.json" 200
    [[ -e $DIR/link.key ]] || openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$DIR/link.key"
    jq -n --arg link "$link" --arg secret "$secret" --arg key "$(key_info "$DIR/link.key" | base64_line)" \
        --arg password "$password" --argjson device "$DEVICE" \
        '{protocol: 1, link: $link, secret: $secret, key: $key,
          device: ($device | {manufacturer, model, serialNumber})}
         + if $password == "" then {} else {password: $password} end' >"$DIR/redeem-request.json"
    mapfile -t identity < <(device_identity)
    json "$DIR/link.json" "$(jq -r .redeem "$DIR/issuer.json")" "$DIR/redeem-request.json" "${identity[@]}"
    expect "$DIR/link.json" 200
    printf '%s' "$link" >"$DIR/link"
    own=$(digits "$link" "$secret" "$DIR/link.key")
    [[ $(jq -r .digits "$DIR/link.json") == "$own" ]] || fail "the issuer shows other digits than $own: do not confirm"
    jq -r --arg digits "$own" '"digits \($digits)\nperson \(.person.displayName)"' "$DIR/link.json"
}

wait_authorization() {
    local link
    link=$(cat "$DIR/link")
    mapfile -t identity < <(device_identity)
    jq -n --arg link "$link" --arg proof "$(authorization_proof "$link" "$DIR/link.key")" \
        '{protocol: 1, link: $link, wait: 20, proof: $proof}' >"$DIR/wait.json"
    while :; do
        json "$DIR/confirmed.json" "$(jq -r .authorization "$DIR/issuer.json")" "$DIR/wait.json" "${identity[@]}"
        expect "$DIR/confirmed.json" 200
        [[ $(jq -r .state "$DIR/confirmed.json") == confirmed ]] && break
    done
    jq -j '"Authorization: Bearer \(.authorization)"' "$DIR/confirmed.json" >"$DIR/enrollment-bearer"
    jq -r '"confirmed for \(.purposes | join(" "))"' "$DIR/confirmed.json"
}
