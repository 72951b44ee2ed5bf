/** A line over time, drawn as SVG, with its newest and its largest value in words. */

interface ChartProps {
  readonly title: string;
  /** Oldest first; undefined where nothing was there to be measured. */
  readonly values: readonly (number | undefined)[];
  /** For a person. */
  readonly textOf: (value: number) => string;
}

const WIDTH = 360;
const HEIGHT = 80;

export function Chart({ title, values, textOf }: ChartProps) {
  const known = values.filter((value) => value !== undefined);
  const largest = Math.max(0, ...known);
  const newest = values.at(-1);
  const x = (at: number): number => (values.length < 2 ? WIDTH : (at * WIDTH) / (values.length - 1));
  const y = (value: number): number => HEIGHT - 2 - (largest === 0 ? 0 : (value * (HEIGHT - 4)) / largest);
  const points = values.flatMap((value, at) => (value === undefined ? [] : [`${x(at).toFixed(1)},${y(value).toFixed(1)}`]));
  const now = newest === undefined ? "nothing to measure" : textOf(newest);
  return (
    <figure class="chart" data-chart={title}>
      <figcaption>
        {title}: <strong>{now}</strong>
        {known.length > 0 && ` (at most ${textOf(largest)})`}
      </figcaption>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        role="img"
        aria-label={`${title} over the last minutes: ${now} now, ${textOf(largest)} at most`}
      >
        <polyline points={points.join(" ")} fill="none" stroke="currentColor" stroke-width="1.5" />
      </svg>
    </figure>
  );
}
