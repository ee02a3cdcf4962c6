import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export interface Series {
  label: string;
  /** A custom property of the style sheet, such as `--chart-1`. */
  colour: string;
  values: (number | null)[];
}

interface ChartProps {
  label: string;
  /** Epoch seconds. */
  times: number[];
  series: Series[];
  format: (value: number) => string;
  height?: number;
  /** Fixed top of the scale, such as 100 for percents. */
  top?: number;
  /** Seconds on the axis: for the last minutes. */
  live?: boolean;
}

function colourOf(element: Element, name: string): string {
  return getComputedStyle(element).getPropertyValue(name).trim();
}

const moments = new Intl.DateTimeFormat("en-GB", { timeStyle: "short" });
const seconds = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

/** A line chart over time. Its numbers are in the legend, which readers of screens get too. */
export function Chart({
  label,
  times,
  series,
  format,
  height = 170,
  top,
  live = false,
}: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const drawn = useRef({ times, series, format });
  drawn.current = { times, series, format };
  const shape = series.map((one) => one.label + one.colour).join();

  // data alone needs no new chart
  useEffect(() => {
    const place = box.current;
    if (!place) return;
    const make = () => {
      chart.current?.destroy();
      const faint = colourOf(place, "--line");
      const text = colourOf(place, "--text-2");
      const time = live ? seconds : moments;
      const font = "12px system-ui, sans-serif";
      const axis = {
        stroke: text,
        font,
        grid: { stroke: faint, width: 1 },
        ticks: { show: false },
      };
      chart.current = new uPlot(
        {
          width: Math.max(place.clientWidth, 120),
          height,
          cursor: { y: false, points: { size: 6 } },
          legend: { show: false },
          scales: {
            y: { range: (_, low, high) => [Math.min(0, low), top ?? Math.max(high * 1.1, 1)] },
          },
          axes: [
            {
              ...axis,
              grid: { show: false },
              space: 80,
              size: 26,
              values: (_, values) => values.map((one) => time.format(one * 1000)),
            },
            {
              ...axis,
              size: 62,
              splits: (_, __, low, high) => [low, (low + high) / 2, high],
              values: (_, values) => values.map((one) => drawn.current.format(one)),
            },
          ],
          series: [
            {},
            ...drawn.current.series.map((one, at) => {
              const stroke = colourOf(place, one.colour);
              return {
                label: one.label,
                stroke,
                width: 1.8,
                points: { show: false },
                ...(at === 0 ? { fill: `${stroke}1f` } : {}),
              };
            }),
          ],
        },
        [drawn.current.times, ...drawn.current.series.map((one) => one.values)],
        place,
      );
    };
    make();
    const resized = new ResizeObserver(() => {
      chart.current?.setSize({ width: Math.max(place.clientWidth, 120), height });
    });
    resized.observe(place);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const themed = new MutationObserver(make);
    themed.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    scheme.addEventListener("change", make);
    return () => {
      resized.disconnect();
      themed.disconnect();
      scheme.removeEventListener("change", make);
      chart.current?.destroy();
      chart.current = null;
    };
  }, [shape, height, top, live]);

  useEffect(() => {
    chart.current?.setData([times, ...series.map((one) => one.values)]);
  }, [times, series]);

  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title">{label}</span>
        {series.map((one) => {
          const latest = one.values.findLast((value) => value !== null);
          return (
            <span key={one.label} class={`legend ${one.colour.slice(2)}`}>
              {one.label}{" "}
              <strong>{latest === undefined || latest === null ? "–" : format(latest)}</strong>
            </span>
          );
        })}
      </figcaption>
      <div ref={box} aria-hidden="true" />
    </figure>
  );
}
