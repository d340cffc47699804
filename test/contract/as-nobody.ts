const NOBODY = 65_534;

/** Does something as a user who has no rights but those of a file's mode: root has all, so it becomes another user meanwhile. */
export async function asNobody(work: () => Promise<void>): Promise<void> {
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(NOBODY);
  try {
    await work();
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
}
