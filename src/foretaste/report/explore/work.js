// The server behind the page: what is asked of it, and what it tells.

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
const FULL = "The disk is full. Nothing is lost: what was finished is kept, and the map goes on. Free some space, then ask again.";
const SILENT = "The server does not answer; the page goes on by itself, and tries again.";

/** The queue of work, as a list of its own. */
class Work {
  /** @type {Job[]} */
  jobs = [];
  list = made("div", { class: "jobs", role: "log", "aria-label": "work" });
  full = made("p", { class: "warn", role: "alert", hidden: true }, FULL);
  note = made("p", { class: "note", role: "status" });

  /** @param {string} token @param {string[]} names of the tasks @param {(shares: number[]) => void} choose */
  constructor(token, names, choose) {
    this.token = token;
    this.names = names;
    this.choose = choose;
  }

  /** What it answers; throws what it says is wrong. @param {string} path @param {RequestInit} [options] */
  async asked(path, options = {}) {
    const answer = await fetch(path, { ...options, headers: { "x-foretaste-token": this.token } });
    if (answer.ok) return answer;
    const data = await answer.json();
    throw new Error(answer.status === 507 ? `Not done, and nothing is lost: ${data.error}` : data.error);
  }

  /** Do something, and say what is wrong if it fails. @param {() => Promise<unknown>} act */
  async tried(act) {
    try {
      this.note.textContent = "";
      await act();
    } catch (error) {
      const unheard = error instanceof TypeError || !(error instanceof Error);
      this.note.textContent = unheard ? "The server does not answer; is foretaste explore still running?" : error.message;
    }
  }

  /** @param {string} kind @param {string} weights */
  ask(kind, weights) {
    return this.tried(() => this.asked("/api/jobs", { method: "POST", body: JSON.stringify({ kind, weights }) }));
  }

  /** @param {number} number */
  cancel(number) {
    return this.tried(() => this.asked(`/api/jobs/${number}`, { method: "DELETE" }));
  }

  /** Hear what happens. @param {(revision: string) => void} changed */
  listen(changed) {
    const events = new EventSource(`/api/events?token=${encodeURIComponent(this.token)}`);
    /** @param {string} name @param {(data: any) => void} heard any: JSON, of its own shape for every name */
    const on = (name, heard) => events.addEventListener(name, (event) => heard(JSON.parse(event.data)));
    on("jobs", (data) => this.show(data));
    on("study", (data) => changed(data.revision));
    on("disk", (data) => { this.full.hidden = !data.full; });
    on("gone", (data) => {
      this.note.textContent = `${data.error}. What is shown here is the last that was read.`;
      events.close();
    });
    events.onerror = () => { this.note.textContent = SILENT; };
    events.onopen = () => { this.note.textContent = ""; };
  }

  /** @param {Job[]} [jobs] the last that were told if left out */
  show(jobs = this.jobs) {
    this.jobs = jobs;
    const none = "No work was asked for yet. Preview, sharpen or train at the weights above; it goes on when this page is closed.";
    const rows = [...jobs].reverse().slice(0, 12).map((job) => this.row(job));
    this.list.replaceChildren(...(rows.length ? rows : [made("p", { class: "note" }, none)]));
  }

  /** @param {Job} job */
  row(job) {
    const shares = Simplex.parsed(job.weights, this.names);
    const title = `${job.kind} at ${shares ? Simplex.said(shares, this.names) : job.weights}`;
    const link = button(title, () => shares && this.choose(shares), { class: "link" });
    const row = made("p", { class: `job ${job.state}` }, link, `: ${job.state}${job.state === "done" && job.message ? ", " : " "}`);
    if (["queued", "running", "stopping"].includes(job.state)) {
      const progress = { max: job.total, value: Math.min(job.done, job.total), "aria-label": job.stage };
      if (job.total) row.append(made("progress", progress), ` ${job.stage} `);
      const idle = !this.jobs.some((each) => ["running", "stopping"].includes(each.state));
      if (job.state === "queued" && idle) row.append(button("Start", () => this.ask(job.kind, job.weights)), " ");
      row.append(button("Cancel", () => this.cancel(job.id)));
    } else if (job.state === "failed") {
      const again = button("Ask again", () => this.ask(job.kind, job.weights));
      row.append(made("span", { class: "warn" }, job.message), ". Nothing that was finished is lost. ", again);
    } else if (job.message) row.append(made("span", { class: "note" }, job.message));
    return row;
  }
}

/** A form for what is wanted. @param {State} state @param {(wish: URLSearchParams) => void} wanted */
function wishes(state, wanted) {
  const { kind, importance } = state.preference;
  const [words, names] = [["mean", "worst", "knee"], state.tasks.map((task) => task.name)];
  const shares = Object.entries(importance).map(([name, share]) => `${name}=${Math.round(share * 100) / 100}`);
  const now = { type: "text", value: words.includes(kind) ? kind : shares.join(), list: "preferences", "aria-label": "preference" };
  const prefer = made("input", now);
  const value = state.floors.map((floor) => floor.replace(/ of its single-task metric$/, "")).join("; ");
  const title = `floors, such as all>=97%; ${names[0]}>=0.85`;
  const floors = made("input", { type: "text", value, placeholder: "all>=97%", title, "aria-label": "floors" });
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    wanted(new URLSearchParams([["prefer", prefer.value.trim()], ...floors.value.split(";").map((floor) => ["floor", floor.trim()])]));
  };
  const usual = [...words, names.map((name, place) => `${name}=${place ? 1 : 2}`).join()].map((each) => made("option", { value: each }));
  const go = made("button", { type: "submit" }, "Recommend");
  const labels = [made("label", {}, "Maximise ", prefer), made("label", {}, "with floors ", floors)];
  return made("form", { class: "wishes", submit }, ...labels, go, made("datalist", { id: "preferences" }, ...usual));
}
