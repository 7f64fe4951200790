// Tokens per second over the last 300 seconds: a ring buffer of samples, drawn as one line.

const size = 300;
const width = 600, height = 160, foot = 4;

export class Graph {
  #samples = new Float64Array(size);
  #next = 0;
  #count = 0;

  /** One sample a second. */
  add(value) {
    this.#samples[this.#next] = value;
    this.#next = (this.#next + 1) % size;
    this.#count = Math.min(this.#count + 1, size);
    this.#draw();
  }

  /** Oldest first. */
  values() {
    const start = (this.#next - this.#count + size) % size;
    return Array.from({ length: this.#count }, (_, index) => this.#samples[(start + index) % size]);
  }

  #draw() {
    const values = this.values();
    const top = ceiling(Math.max(...values, 1));
    const x = (index) => ((size - values.length + index) / (size - 1)) * width;
    const y = (value) => height - foot - (value / top) * (height - 2 * foot);
    const line = values.map((value, index) => `${index ? "L" : "M"}${x(index).toFixed(1)} ${y(value).toFixed(1)}`).join("");
    document.getElementById("graph-line").setAttribute("d", line);
    document.getElementById("graph-area").setAttribute("d", `${line}L${width} ${height}L${x(0).toFixed(1)} ${height}Z`);
    const grid = document.getElementById("graph-grid");
    if (!grid.childElementCount) {
      for (const part of [0, 0.5, 1]) {
        const rule = document.createElementNS("http://www.w3.org/2000/svg", "line");
        for (const [name, value] of [["x1", 0], ["x2", width], ["y1", y(part * top)], ["y2", y(part * top)]]) rule.setAttribute(name, value);
        grid.append(rule);
      }
    }
    const busy = values.filter((value) => value > 0);
    const mean = busy.length ? busy.reduce((sum, value) => sum + value, 0) / busy.length : 0;
    document.getElementById("graph-summary").textContent =
      `now ${values.at(-1).toFixed(1)} · while busy ${mean.toFixed(1)} · peak ${Math.max(...values).toFixed(1)}`;
    document.getElementById("graph-top").textContent = top;
    document.getElementById("graph-middle").textContent = top / 2;
  }
}

/** 1, 2 or 5 times a power of ten, not below the value. */
function ceiling(value) {
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * unit).find((step) => step >= value);
}
