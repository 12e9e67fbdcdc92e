// The server behind the page: requests to it, and its events.

/**
 * @typedef {{
 *   id: number, kind: string, weights: string, state: string, stage: string, done: number, total: number, message: string,
 * }} Job
 */

/** @type {Record<string, string>} */
const KINDS = {
  preview: "Preview here",
  sharpen: "Sharpen here",
  train: "Train here",
  "export preview": "Export preview",
  "export joint": "Export joint model",
  "export mixture": "Export data mixture",
};
const FULL = "The disk is full. Nothing is lost: finished work is kept and the map still works. Free some space, then ask again.";
const SILENT = "The server does not answer. The page still works, and keeps trying to connect.";

/** The queue of work, shown as a list. */
class Work {
  /** @type {Job[]} */
  jobs = [];
  list = element("div", { class: "jobs", role: "log", "aria-label": "work" });
  full = element("p", { class: "warn", role: "alert", hidden: true }, FULL);
  note = element("p", { class: "note", role: "status" });

  /** @param {string} token @param {string[]} names of the tasks @param {(shares: number[]) => void} choose */
  constructor(token, names, choose) {
    this.token = token;
    this.names = names;
    this.choose = choose;
  }

  /** Send a request; throws the error that the server reports. @param {string} path @param {RequestInit} [options] */
  async request(path, options = {}) {
    const answer = await fetch(path, { ...options, headers: { "x-foretaste-token": this.token } });
    if (answer.ok) return answer;
    const data = await answer.json();
    throw new Error(answer.status === 507 ? `Not done, but nothing is lost: ${data.error}` : data.error);
  }

  /** Do something, and show the error if it fails. @param {() => Promise<unknown>} act */
  async attempt(act) {
    try {
      this.note.textContent = "";
      await act();
    } catch (error) {
      const unreachable = error instanceof TypeError || !(error instanceof Error);
      this.note.textContent = unreachable ? "The server does not answer; is foretaste explore still running?" : error.message;
    }
  }

  /** @param {string} kind @param {string} weights */
  ask(kind, weights) {
    return this.attempt(() => this.request("/api/jobs", { method: "POST", body: JSON.stringify({ kind, weights }) }));
  }

  /** @param {number} number */
  cancel(number) {
    return this.attempt(() => this.request(`/api/jobs/${number}`, { method: "DELETE" }));
  }

  /** Follow the server's events. @param {(revision: string) => void} changed */
  listen(changed) {
    const events = new EventSource(`/api/events?token=${encodeURIComponent(this.token)}`);
    /** @param {string} name @param {(data: any) => void} heard any: JSON, of its own shape for every name */
    const on = (name, heard) => events.addEventListener(name, (event) => heard(JSON.parse(event.data)));
    on("jobs", (data) => this.show(data));
    on("study", (data) => changed(data.revision));
    on("disk", (data) => { this.full.hidden = !data.full; });
    on("gone", (data) => {
      this.note.textContent = `${data.error}. This page shows the study as it was last read.`;
      events.close();
    });
    events.onerror = () => { this.note.textContent = SILENT; };
    events.onopen = () => { this.note.textContent = ""; };
  }

  /** @param {Job[]} [jobs] the last known ones if left out */
  show(jobs = this.jobs) {
    this.jobs = jobs;
    const none = "No work yet. Preview, sharpen or train at the weights above; the work goes on when this page is closed.";
    const rows = [...jobs].reverse().slice(0, 12).map((job) => this.row(job));
    this.list.replaceChildren(...(rows.length ? rows : [element("p", { class: "note" }, none)]));
  }

  /** @param {Job} job */
  row(job) {
    const shares = Simplex.parse(job.weights, this.names);
    const title = `${job.kind} at ${shares ? Simplex.describe(shares, this.names) : job.weights}`;
    const link = button(title, () => shares && this.choose(shares), { class: "link" });
    const row = element("p", { class: `job ${job.state}` }, link, `: ${job.state}${job.state === "done" && job.message ? ", " : " "}`);
    if (["queued", "running", "stopping"].includes(job.state)) {
      const progress = { max: job.total, value: Math.min(job.done, job.total), "aria-label": job.stage };
      if (job.total) row.append(element("progress", progress), ` ${job.stage} `);
      const idle = !this.jobs.some((other) => ["running", "stopping"].includes(other.state));
      if (job.state === "queued" && idle) row.append(button("Start", () => this.ask(job.kind, job.weights)), " ");
      row.append(button("Cancel", () => this.cancel(job.id)));
    } else if (job.state === "failed") {
      const again = button("Ask again", () => this.ask(job.kind, job.weights));
      row.append(element("span", { class: "warn" }, job.message), ". Finished work is kept. ", again);
    } else if (job.message) row.append(element("span", { class: "note" }, job.message));
    return row;
  }
}

/** Make a form for preference and floors. @param {State} state @param {(wish: URLSearchParams) => void} submitted */
function preferenceForm(state, submitted) {
  const { kind, importance } = state.preference;
  const [words, names] = [["mean", "worst", "knee"], state.tasks.map((task) => task.name)];
  const shares = Object.entries(importance).map(([name, share]) => `${name}=${Math.round(share * 100) / 100}`);
  const now = { type: "text", value: words.includes(kind) ? kind : shares.join(), list: "preferences", "aria-label": "preference" };
  const prefer = element("input", now);
  const value = state.floors.map((floor) => floor.replace(/ of its single-task metric$/, "")).join("; ");
  const title = `floors, such as all>=97%; ${names[0]}>=0.85`;
  const floors = element("input", { type: "text", value, placeholder: "all>=97%", title, "aria-label": "floors" });
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    submitted(new URLSearchParams([["prefer", prefer.value.trim()], ...floors.value.split(";").map((floor) => ["floor", floor.trim()])]));
  };
  const usual = [...words, names.map((name, place) => `${name}=${place ? 1 : 2}`).join()].map((value) => element("option", { value }));
  const go = element("button", { type: "submit" }, "Recommend");
  const labels = [element("label", {}, "Maximise ", prefer), element("label", {}, "with floors ", floors)];
  return element("form", { class: "wishes", submit }, ...labels, go, element("datalist", { id: "preferences" }, ...usual));
}
