/** The one who asked does not wait any longer. */
export class Cancellation {
  #canceled = false;
  readonly #listeners = new Set<() => void>();

  get isCanceled(): boolean {
    return this.#canceled;
  }

  /** Once; later calls do nothing. */
  cancel(): void {
    if (this.#canceled) return;
    this.#canceled = true;
    for (const listener of this.#listeners) listener();
    this.#listeners.clear();
  }

  /** Calls the listener once when it is canceled, at once if it is already. @returns takes the listener away */
  onCancel(listener: () => void): () => void {
    if (this.#canceled) {
      listener();
      return () => {};
    }
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}
