#!/usr/bin/env bash
# Brings checked manifests into a cluster and waits until all of it is ready.
#
#   scripts/deploy.sh OVERLAY MANIFESTS.yaml
#
#   OVERLAY=kind makes the cluster `vitrine` if there is none, and loads the images from Docker into it
#   any other goes to kubectl's current context, after what its provided.txt names was found there
#
# Exit status: 0 everything is ready, 2 something is missing, named on stderr. Works with bash 3.2.
set -euo pipefail
cd "$(dirname "$0")/.."

overlay=$1 manifests=$2
folder=deploy/k8s/overlays/$overlay
[ -d "$folder" ] || folder=$overlay
cluster=vitrine

fail() { echo "deploy: $*" >&2; exit 2; }
needs() { command -v "$1" >/dev/null || fail "missing: $1 | $2"; }

needs kubectl "https://kubernetes.io/docs/tasks/tools/ | macOS: brew install kubectl"
namespace=$(sed -n 's/^  namespace: //p' "$manifests" | sort -u)
case $namespace in ''|*[[:space:]]*) fail "namespace: one is needed in $manifests, found: $namespace" ;; esac

if [ "$overlay" = kind ]; then
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
while read -r name holds; do
  case $name in ''|'#'*) continue ;; esac
  kubectl --namespace $namespace get "$name" >/dev/null 2>&1 ||
    fail "$name is not in namespace $namespace: it holds $holds"
done < "$folder/provided.txt"

# A Job cannot be changed, only made anew.
kubectl --namespace $namespace delete job index-create --ignore-not-found >/dev/null 2>&1 || true
kubectl apply --filename "$manifests"
kubectl --namespace $namespace wait --for=condition=complete --timeout=10m job/index-create ||
  fail "job/index-create has not made the index: kubectl --namespace $namespace logs job/index-create"
for workload in $(kubectl --namespace $namespace get deployments,statefulsets --output name); do
  kubectl --namespace $namespace rollout status --timeout=30m "$workload" ||
    fail "$workload is not ready: kubectl --namespace $namespace describe $workload"
done
echo "Vitrine is ready. The page: kubectl --namespace $namespace port-forward service/web 8080:80, then" \
  "http://127.0.0.1:8080"
