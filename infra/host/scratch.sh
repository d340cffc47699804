#!/bin/bash
# Makes the second EBS volume of this machine the job's scratch: formatted once, mounted, owned by the job's user.
# A volume's device name depends on the machine (g4dn has disks of its own), so it is found by what it is: an EBS volume
# with nothing on it, or the one that was labelled here before a reboot.
set -euo pipefail

readonly LABEL=accrete
readonly MOUNT="${ACCRETE_MOUNT:-/scratch}"
readonly OWNER=10001

mkdir -p "$MOUNT"
if ! mountpoint -q "$MOUNT"; then
  device="$(blkid -L "$LABEL" || true)"
  if [ -z "$device" ]; then
    # columns are separated by spaces, and a model has some: the name is the first
    while read -r name model; do
      case "$model" in *"Elastic Block Store"*) ;; *) continue ;; esac
      [ "$(lsblk -nr -o NAME "$name" | wc -l)" -eq 1 ] || continue # it has partitions: the system's
      [ -z "$(blkid -o value -s TYPE "$name" || true)" ] || continue
      device="$name"
    done < <(lsblk -dnp -o NAME,MODEL)
    [ -n "$device" ] || { echo "accrete: there is no empty EBS volume for $MOUNT" >&2; exit 1; }
    mkfs.xfs -q -L "$LABEL" "$device"
  fi
  mount -o nosuid,nodev "$device" "$MOUNT"
fi
chown "$OWNER:$OWNER" "$MOUNT"
chmod 0700 "$MOUNT"
