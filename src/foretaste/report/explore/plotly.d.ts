// What the page uses of plotly.js, which is too large to be checked with it.

interface Figure {
  data: Record<string, any>[]; // any: as below
  layout: Record<string, any> & { height: number; font: { color: string } }; // any: a layout has hundreds of parts
}

declare const Plotly: {
  Icons: Record<string, object>;
  Plots: { resize(place: HTMLElement): void };
  downloadImage(plot: object, options: { format: string; filename: string }): void;
  newPlot(place: HTMLElement, data: object[], layout: object, config: object): Promise<void>;
};
