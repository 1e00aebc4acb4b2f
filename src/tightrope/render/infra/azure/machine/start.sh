#!/usr/bin/env bash
# Starts the machine's containers, one a replica, as /opt/tightrope/pool.json says. What it says is data: read with jq, never evaluated.
set -euo pipefail

pool=/opt/tightrope/pool.json
image=$(jq -er .image "$pool")
port=$(jq -er .port "$pool")
replicas=$(jq -er .replicas "$pool")
accelerators=$(jq -er .accelerators "$pool")
mapfile -d '' -t arguments < <(jq -j '.arguments[] | . + "\u0000"' "$pool")
mapfile -d '' -t environment < <(jq -j '.environment[] | "--env", "\(.name)=\(.value)" | . + "\u0000"' "$pool")

registry=${image%%/*}
if [[ $registry == *.azurecr.io ]]; then
  # The machine's identity gives a token for a few hours: no password lies anywhere.
  identity=$(jq -er .client_id "$pool")
  token=$(curl -fsS --retry 10 -H Metadata:true \
    "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://management.azure.com/&client_id=$identity" | jq -er .access_token)
  curl -fsS --retry 10 "https://$registry/oauth2/exchange" \
    --data-urlencode grant_type=access_token --data-urlencode "service=$registry" --data-urlencode "access_token=$token" \
    | jq -er .refresh_token \
    | docker login --username 00000000-0000-0000-0000-000000000000 --password-stdin "$registry"
fi

docker pull -- "$image"
for ((number = 0; number < replicas; number++)); do
  devices=()
  if ((accelerators > 0)); then
    each=$((accelerators / replicas))
    first=$((number * each))
    devices=(--gpus "\"device=$(seq -s, "$first" $((first + each - 1)))\"")
  fi
  docker rm --force "replica-$number" 2>/dev/null || true
  docker run --detach --name "replica-$number" --restart always --ipc host "${devices[@]}" "${environment[@]}" \
    --publish "$((port + number)):$port" -- "$image" "${arguments[@]}"
done
