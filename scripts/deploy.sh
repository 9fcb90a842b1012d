#!/usr/bin/env bash
# Brings checked manifests into a cluster and waits until all of it is ready.
#
#   scripts/deploy.sh OVERLAY MANIFESTS.yaml
#
#   OVERLAY=kind makes the cluster `vitrine` if there is none, and loads the images from Docker into it
#   any other goes to kubectl's current context, after what its provided.txt names was found there
#   DEPLOY_TIMEOUT=3h is how long one service may take to be replaced, pod by pod
#
# First the index is made, or found to be what the settings say; a service is touched only then.
#
# Exit status: 0 everything is ready, 2 something is missing, named on stderr. Works with bash 3.2.
set -euo pipefail
cd "$(dirname "$0")/.."

overlay=$1 manifests=$2
folder=deploy/k8s/overlays/$overlay
[ -d "$folder" ] || folder=$overlay
cluster=vitrine
job=job/index-create

fail() { echo "deploy: $*" >&2; exit 2; }
needs() { command -v "$1" >/dev/null || fail "missing: $1 | $2"; }

needs kubectl "https://kubernetes.io/docs/tasks/tools/ | macOS: brew install kubectl"
namespace=$(sed -n 's/^  namespace: //p' "$manifests" | sort -u)
case $namespace in ''|*[[:space:]]*) fail "namespace: one is needed in $manifests, found: $namespace" ;; esac

if [ "$folder" -ef deploy/k8s/overlays/kind ]; then
  needs docker "https://docs.docker.com/engine/install/"
  needs kind "Go: go install sigs.k8s.io/kind@latest | macOS: brew install kind"
  images=$(sed -n 's/^ *image: //p' "$manifests" | sort -u)
  for image in $images; do
    docker image inspect "$image" >/dev/null 2>&1 ||
      fail "image: $image is not in Docker; build it with deploy/docker/build.sh (make images)"
  done
  if ! kind get clusters 2>/dev/null | grep -qx $cluster; then
    kind create cluster --name $cluster
  fi
  # shellcheck disable=SC2086  (one word each)
  kind load docker-image --name $cluster $images
  kubectl() { command kubectl --context kind-$cluster "$@"; }
fi

# One line KIND/NAME and what it holds each; a secret that is not there is found now, not by a pod that does not start.
expected=$folder/provided.txt
[ -f "$expected" ] || expected=/dev/null
while read -r name holds || [ -n "$name" ]; do
  case $name in ''|'#'*) continue ;; esac
  kubectl --namespace $namespace get "$name" >/dev/null 2>&1 ||
    fail "$name is not in namespace $namespace: it holds $holds"
done < "$expected"

# What the Job needs, and the Job: documents of these kinds. ConfigMaps of services have names of their own for each
# content, so that pods that run keep theirs.
of_index='^kind: (Namespace|ConfigMap|Secret|ServiceAccount|PersistentVolumeClaim|NetworkPolicy|Job)$'
documents() { # 1: of these kinds, 0: of all others
  awk -v wanted="$1" -v kinds="$of_index" '
    function done() { if (text != "" && ours == wanted) printf "---\n%s", text; text = ""; ours = 0 }
    /^---/ { done(); next }
    $0 ~ kinds { ours = 1 }
    { text = text $0 "\n" }
    END { done() }' "$manifests"
}

# A Job cannot be changed, only made anew.
kubectl --namespace $namespace delete $job --ignore-not-found >/dev/null
documents 1 | kubectl apply --filename -
for _ in $(seq 300); do
  state=$(kubectl --namespace $namespace get $job --output 'jsonpath={.status.conditions[?(@.status=="True")].type}')
  case " $state " in
    *' Complete '*) break ;;
    *' Failed '*)
      kubectl --namespace $namespace logs $job --tail=20 >&2 || true
      fail "$job has not made the index, and no service was touched; above is what it said"
      ;;
  esac
  sleep 2
done
case " $state " in
  *' Complete '*) ;;
  *) fail "$job has not ended in 10 minutes, and no service was touched: kubectl --namespace $namespace describe $job" ;;
esac

documents 0 | kubectl apply --filename -
for workload in $(kubectl --namespace $namespace get deployments,statefulsets --output name); do
  kubectl --namespace $namespace rollout status --timeout="${DEPLOY_TIMEOUT:-3h}" "$workload" ||
    fail "$workload is not ready: kubectl --namespace $namespace describe $workload"
done
scheme=http
! grep -q 'name: VITRINE_WEB_TLS$' "$manifests" || scheme=https
echo "Vitrine is ready. The page: kubectl --namespace $namespace port-forward service/web 8080:80, then" \
  "$scheme://127.0.0.1:8080"
