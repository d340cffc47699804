#!/bin/bash
# Two minutes before a spot machine is taken back, its metadata says so. ECS then stops the tasks of services, and leaves those of
# Batch alone: so the job's containers are sent SIGTERM here, and the trainer saves and ends.
set -uo pipefail

readonly METADATA="${ACCRETE_METADATA:-http://169.254.169.254}"
readonly PAUSE_SECONDS="${ACCRETE_PAUSE_SECONDS:-5}"
token=""
told=" "

new_token() {
  curl -sf --max-time 2 -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 21600" "$METADATA/latest/api/token"
}

# 200: it is taken back; 404: it is not; 401: the token has run out
notice_status() {
  curl -s -o /dev/null -w '%{http_code}' --max-time 2 -H "X-aws-ec2-metadata-token: $token" \
    "$METADATA/latest/meta-data/spot/instance-action"
}

# each container once: a second SIGTERM would tell the trainer to hurry more than it can. One that starts late is told as well.
tell_jobs() {
  local container
  for container in $(docker ps -q --no-trunc --filter label=com.amazonaws.ecs.task-arn); do
    case "$told" in *" $container "*) continue ;; esac
    echo "accrete: this machine is taken back: SIGTERM to container $container"
    docker kill --signal=TERM "$container" >/dev/null && told="$told$container "
  done
}

while true; do
  [ -n "$token" ] || token="$(new_token)"
  case "$(notice_status)" in
    200) tell_jobs ;;
    401) token="" ;;
  esac
  sleep "$PAUSE_SECONDS"
done
