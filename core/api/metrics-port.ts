/** Port: what the numbers of this process are rendered with. Implementation: adapters/prometheus. */
export interface Metrics {
  /** Of the page. */
  readonly contentType: string;
  /** The page, at the present values; UTF-8 text. Slow and rare: called once a scrape. */
  render(): Promise<string>;
}
