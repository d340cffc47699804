#!/bin/bash
# Jobs run in the host's network, so a hop limit hides nothing from them: the instance's own credentials are at the metadata
# address. The job's user is refused that address. The task's own credentials are at another one, 169.254.170.2, which stays open.
set -euo pipefail

readonly METADATA=169.254.169.254
readonly USER_ID=10001
rule=(OUTPUT -d "$METADATA/32" -m owner --uid-owner "$USER_ID" -j REJECT)

iptables -w -C "${rule[@]}" 2>/dev/null || iptables -w -I "${rule[@]}"
iptables -w -C "${rule[@]}"
