#!/usr/bin/env bash
# A six-validator network in containers, from an image made of nothing but our static binary: one is cut off and heals, one is killed
# and comes back, the logs are compared, certificates checked, and a real Prometheus watches with our rules.
#
#   deploy/test/containers.sh                     needs docker; prometheus and promtool where there (Debian: prometheus)
#
# Environment: PORT (21610) first of nine ports on 127.0.0.1, KEEP=1 leaves everything running, VALUES (1200) values proposed.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
port=${PORT:-21610} n=6 id=mesh-test-$$
image=agent-mesh-quantum:test mesh=$root/deploy/docker/dist/agent-mesh work=$(mktemp -d)
prometheus_pid=
say() { printf '%6.1fs  %s\n' "$(since "$begun")" "$*"; }
now() { date +%s.%N; }
since() { echo "$(now) $1" | awk '{printf "%.3f", $1 - $2}'; }
begun=$(now)
fail() { say "FAILED: $*"; for i in $(seq 0 $((n - 1))); do docker logs --tail 3 "$id-v$i" 2>&1 | cut -c1-250 | sed "s/^/  v$i: /"; done; exit 1; }

clean() {
  [ -n "${KEEP:-}" ] && { say "left running: $id, files in $work"; return; }
  [ -n "$prometheus_pid" ] && kill "$prometheus_pid" 2>/dev/null && wait "$prometheus_pid" 2>/dev/null
  for i in $(seq 0 $((n - 1))); do docker rm -fv "$id-v$i"; docker volume rm -f "$id-data$i"; done >/dev/null 2>&1
  docker volume rm -f "$id-exchange" >/dev/null 2>&1
  docker network rm "$id" >/dev/null 2>&1
  rm -rf "$work"
}
trap clean EXIT

# eventually SECONDS WHAT COMMAND…: until the command succeeds; prints how long it took.
eventually() {
  local patience=$1 what=$2 from; from=$(now); shift 2
  until "$@" >/dev/null 2>&1; do
    awk "BEGIN {exit !($(since "$from") > $patience)}" && fail "not within $patience s: $what"
    sleep 0.2
  done
  say "$what ($(since "$from") s)"
}
url() { echo "http://127.0.0.1:$((port + $1))"; }
inside() { docker exec "$id-v$1" /usr/local/bin/agent-mesh "${@:2}"; }
height() { inside "$1" status --json | awk -F'[:,]' '/"height"/ {print $2 + 0}'; }
at_least() { [ "$(height "$1")" -ge "$2" ]; }
unhealthy() { ! inside "$1" status --health; }
hardened=(--read-only --cap-drop ALL --security-opt no-new-privileges)
# What all logs must agree on up to a height: which block stands where, and its values.
log_digest() {
  inside "$1" log --json --values --limit "$2" \
    | python3 -c 'import json, sys
for line in sys.stdin: b = json.loads(line); print(b["height"], b["hash"], b["parent_hash"], b["epoch"], b["view"], b["leader"], b["time_us"], b["values"])' | sha256sum | cut -c1-32
}
propose() { # FROM COUNT NODE…: values FROM… to these nodes, all final or it fails
  local from=$1 count=$2 nodes=() i started; shift 2
  for i in "$@"; do nodes+=(--node "$(url "$i")"); done
  started=$(now)
  seq "$from" $((from + count - 1)) | sed "s/.*/\"value & of $id\"/" | "$mesh" propose --file - --wait --json "${nodes[@]}" >"$work/results.json" 2>"$work/propose.err" \
    || { cat "$work/propose.err"; fail "proposals to $*"; }
  "$mesh" verify --genesis "$work/genesis.json" "$work/results.json" >"$work/verify.out" 2>&1 || { tail -3 "$work/verify.out"; fail "certificates"; }
  say "$count values final through nodes $* and verified offline ($(since "$started") s)"
}

# --- image ------------------------------------------------------------------------------------------------------------------------
command -v docker >/dev/null && docker info >/dev/null 2>&1 || { echo "SKIPPED: no docker here"; exit 0; }
[ -x "$mesh" ] || "$root/deploy/docker/static-binary"
DOCKER_BUILDKIT=0 docker build -q -t "$image" --target prebuilt "$root" >/dev/null 2>&1 || fail "docker build"
say "image $(docker image inspect -f '{{.Size}}' "$image" | awk '{printf "%.1f MB", $1 / 1e6}'), user $(docker image inspect -f '{{.Config.User}}' "$image")"

# --- keys, genesis, validators: as deploy/compose and deploy/kubernetes do it -----------------------------------------------------
docker network create "$id" >/dev/null
cp "$root/deploy/compose/validator.json" "$work/validator.json"; chmod 755 "$work"; chmod 644 "$work/validator.json"
for i in $(seq 0 $((n - 1))); do
  docker run --rm "${hardened[@]}" --network none -v "$id-data$i:/data" -v "$id-exchange:/exchange" -v "$work/validator.json:/etc/validator.json:ro" "$image" \
    init --keep --home /data/home --name "v$i" --address "v$i:9080" --config /etc/validator.json --out "/exchange/v$i.pub.json" >/dev/null || fail "init v$i"
done
docker run --rm "${hardened[@]}" --network none -v "$id-exchange:/exchange" "$image" genesis create --keep --network "$id" --out /exchange/genesis.json \
  $(for i in $(seq 0 $((n - 1))); do echo "/exchange/v$i.pub.json"; done) | sed -n 2,3p
validator() {
  docker run -d --name "$id-v$1" --hostname "v$1" --network "$id" --network-alias "v$1" "${hardened[@]}" -e "NODE_ID=v$1" -e QUANTUM_SECURITY=true \
    -p "127.0.0.1:$((port + $1)):8080" -v "$id-data$1:/data" -v "$id-exchange:/exchange:ro" "$image" start --home /data/home >/dev/null
}
for i in $(seq 0 $((n - 1))); do validator "$i"; done
for i in $(seq 0 $((n - 1))); do eventually 60 "v$i ready" inside "$i" status --health; done
docker cp "$id-v0:/exchange/genesis.json" "$work/genesis.json"
say "$(inside 0 status | sed -n 1p)"

# --- Prometheus -------------------------------------------------------------------------------------------------------------------
ask() { curl -sf -G "http://127.0.0.1:$((port + 8))/api/v1/$1" "${@:2}"; }
count() { ask query --data-urlencode "query=$1" | python3 -c 'import json,sys; r=json.load(sys.stdin)["data"]["result"]; print(int(float(r[0]["value"][1])) if r else 0)'; }
counts() { [ "$(count "$1")" -eq "$2" ]; }
if command -v prometheus >/dev/null && [ -f "$root/deploy/prometheus/rules.yml" ]; then
  {
    printf 'global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%s]\nscrape_configs:\n  - job_name: agent-mesh\n    static_configs:\n' "$root/deploy/prometheus/rules.yml"
    for i in $(seq 0 $((n - 1))); do printf '      - {targets: ["127.0.0.1:%s"], labels: {validator_name: v%s}}\n' $((port + i)) "$i"; done
  } >"$work/prometheus.yml"
  promtool check config "$work/prometheus.yml" >/dev/null || fail "promtool check config"
  curl -sf "$(url 0)/metrics" | promtool check metrics || fail "promtool check metrics"
  prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/tsdb" --web.listen-address="127.0.0.1:$((port + 8))" 2>"$work/prometheus.log" &
  prometheus_pid=$!
  eventually 30 "Prometheus sees all $n targets up" counts 'count(up{job="agent-mesh"} == 1)' "$n"
  bad_rules() { ask rules | python3 -c 'import json,sys; g=json.load(sys.stdin)["data"]["groups"]; r=[x for y in g for x in y["rules"]]; print(len(r), "rules,", sum(x["health"]!="ok" for x in r), "not evaluated"); sys.exit(any(x["health"]!="ok" for x in r) or not r)'; }
  eventually 30 "every rule evaluates" bad_rules
  for name in $(grep -ohE '\b(agent_mesh|consensus|quantum|ai|byzantine|network|process)_[a-z_]+' "$root/deploy/prometheus/rules.yml" | sort -u); do
    [ "$(count "count({__name__=\"$name\"}) or vector(0)")" -gt 0 ] || echo "         no series yet: $name"
  done
  say "$(bad_rules); firing in a healthy network: $(count 'count(ALERTS{alertstate="firing"}) or vector(0)')"
fi

# --- load, a cut, a death ---------------------------------------------------------------------------------------------------------
propose 1 "${VALUES:-1200}" 0 1 2 3 4 5
before=$(height 3)
docker network disconnect "$id" "$id-v3"
say "v3 cut off at height $before"
propose 10001 200 0 1 2 4 5
eventually 90 "v3 knows that it makes no progress" unhealthy 3
[ -n "$prometheus_pid" ] && eventually 60 "the alert for a lost validator is pending or firing" counts 'count(ALERTS{alertname="AgentMeshTargetDown"})' 1
gone=$(height 3) ahead=$(height 0)
[ "$gone" -le $((before + 2)) ] || fail "v3 went on alone: $before, now $gone"
docker network connect --alias v3 "$id" "$id-v3"
eventually 60 "v3 is healed and has caught up $((ahead - gone)) blocks" at_least 3 "$ahead"
eventually 60 "v3 ready again" inside 3 status --health

docker kill -s KILL "$id-v5" >/dev/null
say "v5 killed"
propose 20001 200 0 1 2 3 4
[ -n "$prometheus_pid" ] && eventually 60 "Prometheus sees v5 down" counts 'count(up{job="agent-mesh"} == 0)' 1
"$mesh" doctor $(for i in 0 1 2 3 4; do echo --node "$(url "$i")"; done) >"$work/doctor" && fail "the doctor finds nothing"
grep -q '^WARNING  *validator-down  v5$' "$work/doctor" || { cat "$work/doctor"; fail "the doctor does not name v5"; }
say "the doctor names v5"
ahead=$(height 0)
docker start "$id-v5" >/dev/null
eventually 90 "v5 is back and has caught up" at_least 5 "$ahead"
propose 30001 100 0 1 2 3 4 5

# --- the logs ---------------------------------------------------------------------------------------------------------------------
common=$(for i in $(seq 0 $((n - 1))); do height "$i"; done | sort -n | head -1)
first=$(log_digest 0 "$common")
for i in $(seq 1 $((n - 1))); do [ "$(log_digest "$i" "$common")" = "$first" ] || fail "the log of v$i differs from that of v0 below height $common"; done
say "the logs of all $n validators are the same up to height $common: $first"
docker stats --no-stream --format '{{.Name}}  CPU {{.CPUPerc}}  memory {{.MemUsage}}' $(for i in $(seq 0 $((n - 1))); do echo "$id-v$i"; done) | sed 's/^/         /'
for i in $(seq 0 $((n - 1))); do docker stop -t 20 "$id-v$i" >/dev/null; [ "$(docker inspect -f '{{.State.ExitCode}}' "$id-v$i")" = 0 ] || fail "v$i did not stop by itself"; done
say "store of v0: $(du -sh "$(docker volume inspect -f '{{.Mountpoint}}' "$id-data0")" 2>/dev/null | cut -f1)"
say "all stopped within their time, exit code 0"
