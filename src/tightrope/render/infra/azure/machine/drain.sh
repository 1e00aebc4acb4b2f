#!/usr/bin/env bash
# Waits until Azure says that it takes the machine away (a spot machine, or one that is too many), and lets its requests end before. Every
# machine of a scale set hears of all of them: an event's resources say which it means (Microsoft documentation, Scheduled Events, 2026).
set -euo pipefail

events="http://169.254.169.254/metadata/scheduledevents?api-version=2020-07-01"
name=$(curl -fsS --retry 10 -H Metadata:true "http://169.254.169.254/metadata/instance/compute/name?api-version=2021-02-01&format=text")
while sleep 5; do
  said=$(curl -fsS -H Metadata:true "$events") || continue
  ends=$(jq -r --arg name "$name" '[.Events[]
    | select((.EventType == "Preempt" or .EventType == "Terminate") and any(.Resources[]; . == $name)) | .EventId] | first // empty' <<<"$said")
  if [[ -n $ends ]]; then
    # A spot machine has 30 seconds. Containers are asked to stop: what they have begun they end, and the health check fails at once.
    docker ps --quiet --filter name=replica- | xargs --no-run-if-empty docker stop --time 25
    jq -n --arg id "$ends" '{StartRequests: [{EventId: $id}]}' | curl -fsS -H Metadata:true -d @- "$events"
    exit 0
  fi
done
