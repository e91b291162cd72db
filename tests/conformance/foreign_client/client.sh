#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A phone made of bash, curl, jq and openssl, written from docs/protocols/ alone. It enrolls a device and gets its
# credentials. What it knows it keeps in the directory of -d (default: ./phone), for its owner only.
set -euo pipefail
umask 077
export LC_ALL=C

usage() {
    cat <<'TEXT'
client.sh [-d DIR] COMMAND
 enrollment (enrollment.md, sign-in.md)
  begin QR.json                       start from the QR code's JSON; trust the server by its pin
  begin SERVER TOKEN CA.pem           start from a typed token; trust the server by a CA
  fresh-assertion                     ask for another enrollment assertion
  device-authorization                print the user code and where to type it
  poll [--once]                       wait until the code is approved
  complete                            make the device key, get the device identity
 management (check-in.md)
  check-in [KNOWN [WAIT [JSON]]]      print the newer desired state, or nothing; JSON is merged into the request
 link and credentials (link.md, est.md)
  redeem LINK_URL [PASSWORD]          make the link key, redeem the link, print the six digits
  wait-authorization                  wait until the PC has confirmed
  cacerts | csrattrs LABEL
  enroll-authentication | enroll-signature | serverkeygen
 pure parts
  digits LINK SECRET KEY.pem          the six digits
  key-thumbprint KEY.pem              SHA-256 of the SubjectPublicKeyInfo
  authorization-proof LINK KEY.pem    the proof of link.md
  link-proof PURPOSE BODY KEY.pem     the header of est.md
  transport-csr KEY.pem OUT.der       a PKCS #10 that names its key by identifier
  open-key ANSWER KEY.pem CAS.pem OUT what serverkeygen answered, to OUT.key and OUT.pem; ANSWER.header has its header
  trust URL PIN                       take the pinned CA from the server's chain
Exit: 0 done; 1 refused, with the server's status and code on standard error; 2 unusable input; 3 not yet (poll --once)
TEXT
}

say() { printf '%s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
misuse() { say "$*"; exit 2; }

# --- octets ---------------------------------------------------------------------------------------------------------
hex() { od -An -v -tx1 | tr -d ' \n'; }
base64_line() { openssl base64 -A; }
base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
from_base64url() {
    local text
    text=$(printf '%s' "$1" | tr -- '-_' '+/')
    while ((${#text} % 4)); do text+='='; done
    printf '%s' "$text" | openssl base64 -d -A
}
key_info() { openssl pkey -in "$1" -pubout -outform DER; } # SubjectPublicKeyInfo
sha256() { openssl dgst -sha256 -binary; }

# --- HTTP -----------------------------------------------------------------------------------------------------------
# request OUT URL [curl options]: the status is in $STATUS, the answer in OUT, its header in OUT.header.
request() {
    local out=$1 url=$2
    shift 2
    STATUS=$(curl --disable --silent --show-error --noproxy '*' --max-time 90 --cacert "$DIR/server-ca.pem" \
        --capath "$DIR/nothing" --output "$out" --dump-header "$out.header" --write-out '%{http_code}' "$@" "$url") ||
        fail "no answer from $url"
}
json() { request "$1" "$2" --header 'Content-Type: application/json' --data-binary "@$3" "${@:4}"; }
device_identity() { # nothing for a phone that was never enrolled
    [[ ! -e $DIR/device.pem ]] || printf '%s\n' --cert "$DIR/device.pem" --key "$DIR/device.key"
}
expect() { # expect OUT STATUS…: end with the server's own words unless it answered one of these
    local out=$1 wanted
    shift
    for wanted in "$@"; do [[ $STATUS == "$wanted" ]] && return; done
    fail "refused: $STATUS $(jq -r '.title // .error // empty' "$out" 2>/dev/null || head -c 300 "$out")" \
        "$(jq -r '.detail // .error_description // empty' "$out" 2>/dev/null)"
}

# The pin is the SHA-256 of the key of the CA that issues the server certificates: take that certificate from the
# server's own chain, and from then on trust nothing else.
trust_pin() {
    local url=$1 pin=$2 authority chain certificate
    authority=${url#https://}
    authority=${authority%%/*}
    [[ $authority == *:* ]] || authority+=:443
    chain=$(openssl s_client -connect "$authority" -servername "${authority%:*}" -showcerts </dev/null 2>/dev/null) || true
    while [[ $chain == *'-----BEGIN CERTIFICATE-----'* ]]; do
        chain=${chain#*-----BEGIN CERTIFICATE-----}
        certificate="-----BEGIN CERTIFICATE-----${chain%%-----END CERTIFICATE-----*}-----END CERTIFICATE-----"
        if [[ $(openssl x509 -noout -pubkey <<<"$certificate" | openssl pkey -pubin -outform DER | sha256 | base64url) == "$pin" ]]; then
            printf '%s\n' "$certificate" >"$DIR/server-ca.pem"
            return
        fi
    done
    fail "the server at $authority shows no certificate with the pinned key"
}

DIR=phone
DEVICE=${DEVICE:-'{"manufacturer": "GNU", "model": "bash", "serialNumber": "0001", "osVersion": "14", "securityPatch": "2026-11-05"}'}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=enrollment.sh
source "$here/enrollment.sh"
# shellcheck source=link.sh
source "$here/link.sh"
# shellcheck source=est.sh
source "$here/est.sh"
# shellcheck source=serverkeygen.sh
source "$here/serverkeygen.sh"

main() {
    if [[ ${1:-} == -d ]]; then DIR=${2:?}; shift 2; fi
    mkdir -p "$DIR/nothing"
    local command=${1:-help}
    (($#)) && shift
    case $command in
        begin) begin "$@" ;;
        fresh-assertion) fresh_assertion ;;
        device-authorization) device_authorization ;;
        poll) poll "$@" ;;
        complete) complete ;;
        check-in) check_in "$@" ;;
        redeem) redeem "$@" ;;
        wait-authorization) wait_authorization ;;
        cacerts) cacerts ;;
        csrattrs) csrattrs "$@" ;;
        enroll-authentication) enroll authentication "$DIR/link.key" ;;
        enroll-signature) enroll_signature ;;
        serverkeygen) serverkeygen ;;
        digits) digits "$@" ;;
        key-thumbprint) key_info "$1" | sha256 | hex ;;
        authorization-proof) authorization_proof "$@" ;;
        link-proof) link_proof "$@" ;;
        transport-csr) transport_csr "$@" ;;
        open-key) open_answer "$@" ;;
        trust) trust_pin "$@" ;;
        *) usage; exit 2 ;;
    esac
}
main "$@"
