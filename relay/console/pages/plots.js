// Lines over time, drawn by uPlot; the figures stand beside them as text, so the picture is for eyes only.

import uPlot from "./vendor/uPlot/uPlot.js";

const HEIGHT = 180;
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DASHES = [[], [6, 4], [2, 3]];

/** A plot in `place`: `series` are names of colours in the style sheet. Data are columns, seconds since 1970 first. */
export class Plot {
  constructor(place, series) {
    this.place = place;
    this.series = series;
    this.columns = [[], ...series.map(() => [])];
    this.watch = new ResizeObserver(() => this.plot?.setSize({ width: this.width, height: HEIGHT }));
    this.watch.observe(place);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.remake = () => this.make();
    this.scheme.addEventListener("change", this.remake);
    this.make();
  }

  get width() {
    return Math.max(200, this.place.clientWidth);
  }

  make() {
    this.plot?.destroy();
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const axis = { stroke: colour("muted"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false } };
    this.plot = new uPlot({
      width: this.width,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      select: { show: false },
      scales: { y: { range: (_, __, most) => [0, Math.max(1, most * 1.1)] } },
      axes: [{ ...axis, size: 30, space: 90, values: (_, ticks) => ticks.map((tick) => (tick % 1 ? "" : CLOCK.format(tick * 1000))) }, { ...axis, size: 54, values: (_, ticks) => ticks.map((tick) => (tick % 1 ? "" : String(tick))) }],
      series: [{}, ...this.series.map((name, i) => ({
        stroke: colour(name), width: 2, dash: DASHES[i], points: { show: false }, spanGaps: false,
      }))],
    }, this.columns, this.place);
  }

  show(columns) {
    this.columns = columns;
    this.plot.setData(columns);
  }

  close() {
    this.watch.disconnect();
    this.scheme.removeEventListener("change", this.remake);
    this.plot.destroy();
  }
}
