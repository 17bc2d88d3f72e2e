# What the examples share: keys, tokens, starting and stopping. Sourced by each `try`.
#
#   PORTCULLIS   the program; by default the one that `make release` has built
#   PYTHON       a Python 3 for the services; the example of gRPC needs one with grpcio
set -eu
here=$(cd "$(dirname "$0")" && pwd)
PORTCULLIS=${PORTCULLIS:-$here/../../.build/release/portcullis}
PYTHON=${PYTHON:-python3}
work=$(mktemp -d)
started=""
failed=0

finish() {
    for process in $started; do kill "$process" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

# free_ports COUNT: so many different ones.
free_ports() {
    "$PYTHON" -c "
import socket
sockets = [socket.socket() for _ in range($1)]
for one in sockets: one.bind(('127.0.0.1', 0))
print(*(one.getsockname()[1] for one in sockets))"
}

# start NAME PORT COMMAND …: starts a program and waits until it takes connections.
start() {
    program=$1 at=$2
    shift 2
    "$@" > "$work/$program.log" 2>&1 &
    started="$started $!"
    tries=0
    until "$PYTHON" -c "import socket; socket.create_connection(('127.0.0.1', $at), 1)" 2>/dev/null; do
        tries=$((tries + 1))
        if [ "$tries" -gt 300 ] || ! kill -0 $! 2>/dev/null; then
            echo "$program did not start:" >&2
            cat "$work/$program.log" >&2
            exit 1
        fi
        sleep 0.1
    done
}

# A certificate for localhost, a signing key and its key set, in the work folder.
make_keys() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 60 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$work/tls.key" -out "$work/tls.crt" 2>/dev/null
    openssl genpkey -algorithm ed25519 -out "$work/signer.pem" 2>/dev/null
    x=$(openssl pkey -in "$work/signer.pem" -pubout -outform DER | tail -c 32 | basenc --base64url -w0 | tr -d =)
    echo "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k1\",\"x\":\"$x\"}]}" > "$work/keys.json"
}

b64() { basenc --base64url -w0 | tr -d =; }

# make_token SUBJECT SCOPES [SECONDS]
make_token() {
    head=$(printf '{"alg":"EdDSA","typ":"JWT","kid":"k1"}' | b64)
    body=$(printf '{"iss":"https://sso.example.com","aud":"api.example.com","sub":"%s","scope":"%s","exp":%d}' \
        "$1" "$2" $(($(date +%s) + ${3:-600})) | b64)
    printf '%s.%s' "$head" "$body" > "$work/signed"
    openssl pkeyutl -sign -rawin -inkey "$work/signer.pem" -in "$work/signed" -out "$work/signature"
    printf '%s.%s.%s' "$head" "$body" "$(b64 < "$work/signature")"
}

# gateway PORT UPSTREAM_PORT [NAME]: checks the example's file, runs its tests and starts the gateway on it.
gateway() {
    name=${3:-gateway}
    sed -e "s#@PORT@#$1#g" -e "s#@SERVICE@#$2#g" -e "s#@REDIS@#${redis_port:-0}#g" \
        -e "s#@AUTH@#${auth_port:-0}#g" "$here/gateway.conf" > "$work/$name.conf"
    (cd "$work" && "$PORTCULLIS" test -c "$name.conf")
    cd "$work"
    start "$name" "$1" "$PORTCULLIS" run -c "$name.conf"
    cd "$here"
}

# expect STATUS WHAT CURL_ARGUMENTS …: sends a request and says what came of it.
expect() {
    wanted=$1 what=$2
    shift 2
    got=$(curl -sk --max-time 30 -o "$work/body" -w '%{http_code}' "$@") || true
    if [ "$got" = "$wanted" ]; then mark=ok; else mark="WRONG, wanted $wanted" failed=1; fi
    printf '%-55s %s  %s\n' "$what" "$got" "$mark"
}

done_trying() {
    [ "$failed" = 0 ] || { cat "$work"/*.log >&2; exit 1; }
    echo "every request came out as it should"
}
