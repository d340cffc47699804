/** Lets signals and timers come between two pieces of work that JavaScript would not be interrupted in. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
