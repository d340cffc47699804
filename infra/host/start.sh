# shellcheck shell=bash
# Run once by cloud-init, before the ECS agent starts. What fails here must not end in a job on a machine that is not as it should
# be: the agent is kept from starting, and the job stays in the queue until its longest wait is over.
set -euo pipefail
refuse_jobs() {
  echo "accrete: this machine is not set up: it takes no jobs" >&2
  systemctl mask --runtime ecs.service
  systemctl stop --no-block ecs.service
}
trap refuse_jobs ERR

cat >> /etc/ecs/ecs.config <<'END'
ECS_ENABLE_SPOT_INSTANCE_DRAINING=true
ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE=true
ECS_DISABLE_PRIVILEGED=true
END

# also after a reboot
cat > /etc/systemd/system/accrete-host.service <<'END'
[Unit]
Description=accrete: scratch disk, no metadata for jobs
After=network-online.target
Before=ecs.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/accrete-scratch
ExecStart=/usr/local/sbin/accrete-refuse-metadata
[Install]
WantedBy=multi-user.target
RequiredBy=ecs.service
END
cat > /etc/systemd/system/accrete-spot.service <<'END'
[Unit]
Description=accrete: SIGTERM for jobs when this machine is taken back
After=docker.service
[Service]
ExecStart=/usr/local/sbin/accrete-spot-watch
Restart=always
RestartSec=5
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl enable accrete-host.service accrete-spot.service
systemctl start accrete-host.service
systemctl start --no-block accrete-spot.service
