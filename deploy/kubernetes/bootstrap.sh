#!/usr/bin/env bash
# From nothing to a network: keys in the pods, genesis from their public files, genesis to the pods.
#
#   bootstrap.sh                    all three steps, for a network in one cluster
#   bootstrap.sh keys DIR           applies the manifests and collects the public files of this cluster's validators in DIR
#   bootstrap.sh genesis DIR        makes DIR/genesis.json from all DIR/*.pub.json, those of other organisations among them
#   bootstrap.sh install DIR        gives DIR/genesis.json to this cluster's validators
#
# Organisations run the steps one by one and exchange the public files in between; each compares the chain id that `genesis` prints.
# Environment: KUSTOMIZATION (this directory), NAMESPACE (agent-mesh), NETWORK (quantum-consensus), AGENT_MESH (agent-mesh), DIR (./network)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kustomization=${KUSTOMIZATION:-$here} namespace=${NAMESPACE:-agent-mesh} network=${NETWORK:-quantum-consensus} set=quantum-consensus
agent_mesh=${AGENT_MESH:-agent-mesh}
k() { kubectl -n "$namespace" "$@"; }

keys() { # DIR
  mkdir -p "$1"
  kubectl apply -k "$kustomization"
  local replicas pod
  replicas=$(k get statefulset "$set" -o 'jsonpath={.spec.replicas}')
  for i in $(seq 0 $((replicas - 1))); do
    pod=$set-$i
    # The pod may not exist yet, and wait fails at once when it does not.
    for _ in $(seq 60); do k get pod "$pod" >/dev/null 2>&1 && break; sleep 2; done
    k wait --for=condition=Initialized "pod/$pod" --timeout=300s
    k logs "$pod" -c identity >"$1/$pod.pub.json"
  done
  echo "public files of $replicas validators in $1"
}

genesis() { # DIR; the order of the files is the order of the validators: by number, so that all who repeat it get the same
  local files
  mapfile -t files < <(ls "$1"/*.pub.json | sort -V)
  "$agent_mesh" genesis create --keep --network "$network" --out "$1/genesis.json" "${files[@]}"
}

install() { # DIR
  # Public: it holds no secret. Immutable: another genesis is another network.
  kubectl create configmap "$set-genesis" --from-file="$1/genesis.json" --dry-run=client -o yaml | sed 's/^kind: ConfigMap$/&\nimmutable: true/' | k apply -f -
  # Mounted ConfigMaps arrive within a minute or two; the validators wait for it.
  k rollout status "statefulset/$set" --timeout=600s
}

case ${1:-all} in
  all) dir=${DIR:-./network}; keys "$dir"; genesis "$dir"; install "$dir" ;;
  keys | genesis | install) "$1" "${2:?give the directory of the public files}" ;;
  *) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
