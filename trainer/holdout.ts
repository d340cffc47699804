/** Which records are never trained on: a function of their content alone, so one never wanders into training. */
import { createHash } from "node:crypto";

/**
 * sha256 over the record's inputs as float32 or int32 (before normalisation, little-endian) and its label; its first 32 bits as
 * a part of 2^32 are below the fraction.
 * @param label the class's name, or the value
 * @param fraction 0 (none) up to 1
 */
export function isHoldout(features: Float32Array | Int32Array, label: string | number, fraction: number): boolean {
  if (fraction <= 0) return false;
  const digest = createHash("sha256")
    .update(new Uint8Array(features.buffer, features.byteOffset, features.byteLength))
    .update(`\0${label}`)
    .digest();
  return digest.readUInt32BE(0) / 2 ** 32 < fraction;
}
