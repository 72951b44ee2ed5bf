/** Port: the two clocks of a member. Virtual in tests. */
export interface Clock {
  /** Milliseconds since 1970, as the host believes. May jump. */
  wallMs(): number;
  /** Milliseconds from an arbitrary start; never goes back, runs at an even rate. */
  monotonicMs(): number;
}
