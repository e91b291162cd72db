# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Enrollment and check-in (enrollment.md, sign-in.md, check-in.md).

begin() {
    local server token pin extras
    if (($# == 1)); then
        extras=$(jq -e '."android.app.extra.PROVISIONING_ADMIN_EXTRAS_BUNDLE"' "$1") || misuse "no provisioning JSON"
        [[ $(jq -r '."etymon.protocol"' <<<"$extras") == 1 ]] || misuse "unknown protocol"
        server=$(jq -re '."etymon.server"' <<<"$extras")
        token=$(jq -re '."etymon.token"' <<<"$extras")
        pin=$(jq -re '."etymon.pin"' <<<"$extras")
        trust_pin "$server" "$pin"
    elif (($# == 3)); then
        server=$1 token=$2
        cp "$3" "$DIR/server-ca.pem"
    else
        misuse "begin QR.json | begin SERVER TOKEN CA.pem"
    fi
    jq -n --arg token "$token" --argjson device "$DEVICE" \
        '{protocol: 1, token: $token, device: $device}' >"$DIR/begin.json"
    json "$DIR/session.json" "$server/enrollment/v1/sessions" "$DIR/begin.json"
    expect "$DIR/session.json" 201
    printf '%s' "$server" >"$DIR/server"
    jq -r '"session \(.session) at \(.organization.displayName)"' "$DIR/session.json"
}

session_url() { printf '%s/enrollment/v1/sessions/%s' "$(cat "$DIR/server")" "$(jq -r .session "$DIR/session.json")"; }

fresh_assertion() {
    jq '{sessionSecret}' "$DIR/session.json" >"$DIR/assertion-request.json"
    json "$DIR/assertion.json" "$(session_url)/assertion" "$DIR/assertion-request.json"
    expect "$DIR/assertion.json" 200 201
    jq -s '.[0] * {identityProvider: {enrollmentAssertion: (.[1] | .enrollmentAssertion // .identityProvider.enrollmentAssertion)}}' \
        "$DIR/session.json" "$DIR/assertion.json" >"$DIR/session.new"
    mv "$DIR/session.new" "$DIR/session.json"
}

device_authorization() {
    local issuer
    issuer=$(jq -r .identityProvider.issuer "$DIR/session.json")
    request "$DIR/idp.json" "$issuer/.well-known/openid-configuration"
    expect "$DIR/idp.json" 200
    [[ $(jq -r .issuer "$DIR/idp.json") == "$issuer" ]] || fail "the identity provider names another issuer"
    jq -j .identityProvider.enrollmentAssertion "$DIR/session.json" >"$DIR/assertion"
    request "$DIR/authorization.json" "$(jq -r .device_authorization_endpoint "$DIR/idp.json")" \
        --data-urlencode "client_id=$(jq -r .identityProvider.clientId "$DIR/session.json")" \
        --data-urlencode "scope=$(jq -r .identityProvider.scope "$DIR/session.json")" \
        --data-urlencode "enrollment_assertion@$DIR/assertion"
    expect "$DIR/authorization.json" 200
    jq -r '"code \(.user_code)\nat \(.verification_uri)"' "$DIR/authorization.json"
}

poll() { # RFC 8628 section 3.5
    local interval error
    interval=$(jq -r '.interval // 5' "$DIR/authorization.json")
    jq -j .device_code "$DIR/authorization.json" >"$DIR/device-code"
    while :; do
        request "$DIR/token.json" "$(jq -r .token_endpoint "$DIR/idp.json")" \
            --data-urlencode "grant_type=urn:ietf:params:oauth:grant-type:device_code" \
            --data-urlencode "client_id=$(jq -r .identityProvider.clientId "$DIR/session.json")" \
            --data-urlencode "device_code@$DIR/device-code"
        [[ $STATUS == 200 ]] && break
        error=$(jq -r '.error // empty' "$DIR/token.json")
        case $error in
            authorization_pending) ;;
            slow_down) interval=$((interval + 5)) ;;
            *) expect "$DIR/token.json" 200 ;;
        esac
        [[ ${1:-} == --once ]] && { say "$error"; exit 3; }
        sleep "$interval"
    done
    jq -j '"Authorization: Bearer \(.access_token)"' "$DIR/token.json" >"$DIR/bearer"
    echo signed in
}

complete() {
    [[ -e $DIR/device.key ]] || openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$DIR/device.key"
    [[ -e $DIR/device.csr ]] || openssl req -new -key "$DIR/device.key" -subj /CN=device -outform DER -out "$DIR/device.csr"
    jq --arg csr "$(base64_line <"$DIR/device.csr")" '{protocol: 1, sessionSecret, csr: $csr}' \
        "$DIR/session.json" >"$DIR/complete-request.json"
    json "$DIR/device.json" "$(session_url)/complete" "$DIR/complete-request.json" --header "@$DIR/bearer"
    expect "$DIR/device.json" 200
    jq -r '.certificate, .chain[]' "$DIR/device.json" | while read -r der; do
        openssl base64 -d -A <<<"$der" | openssl x509 -inform DER
    done >"$DIR/device.pem"
    jq -r '"device \(.device)"' "$DIR/device.json"
}

check_in() {
    local more=${3:-}
    [[ $more ]] || more='{}'
    jq -n --argjson known "${1:-0}" --argjson wait "${2:-0}" --argjson more "$more" --argjson device "$DEVICE" \
        '{protocol: 1, known: $known, wait: $wait, device: ($device | {osVersion, securityPatch}),
          results: [], commands: [], credentials: []} * $more' >"$DIR/check-in-request.json"
    mapfile -t identity < <(device_identity)
    json "$DIR/state.json" "$(jq -r .checkIn "$DIR/device.json")" "$DIR/check-in-request.json" "${identity[@]}"
    expect "$DIR/state.json" 200 204
    [[ $STATUS == 204 ]] || jq . "$DIR/state.json"
}
