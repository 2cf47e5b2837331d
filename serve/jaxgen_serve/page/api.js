// Requests to the server: JSON, forms, bytes and server-sent events. Every failure is one line, the server's own.

export class Refused extends Error {
  constructor(status, line) {
    super(line ?? ""); // no line: the server did not answer
    this.status = status;
  }
}

/** base: the API's address; logIn(): resolves once the browser has the cookie of a server that requires a token. */
export function connect(base, logIn) {
  const root = new URL(base, document.baseURI);

  function url(path, query = {}) {
    const at = new URL(path, root);
    for (const [key, value] of Object.entries(query)) {
      if (value !== null && value !== undefined && value !== "") at.searchParams.set(key, value);
    }
    return at.href;
  }

  async function ask(path, options = {}) {
    const { method = "GET", query, body, form, signal, accept = "application/json", open = false } = options;
    const headers = { Accept: accept };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const content = form ?? (body === undefined ? undefined : JSON.stringify(withoutNulls(body)));
    const init = { method, headers, body: content, signal, cache: "no-cache" };
    const response = await whole(fetch(url(path, query), init));
    if (response.status === 401 && !open) {
      await logIn();
      return ask(path, { method, query, body, form, signal, accept });
    }
    if (!response.ok) throw new Refused(response.status, await line(response));
    return response;
  }

  async function json(path, options) {
    const response = await ask(path, options);
    return response.status === 204 ? null : whole(response.json());
  }

  /** Calls onEvent(name, data) for each event up to `done`, the last one; throws on an `error` event. */
  async function events(path, query, onEvent, signal) {
    const response = await ask(path, { query, signal, accept: "text/event-stream" });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await whole(reader.read());
      if (done) throw new Refused(0, null); // the server stopped before it was done
      text += value.replaceAll("\r", "");
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        const { name, data } = parsed(text.slice(0, end));
        text = text.slice(end + 2);
        if (name === "error") throw new Refused(0, data.detail);
        if (name) onEvent(name, data);
        if (name === "done") return;
      }
    }
  }

  return { ask, json, events, url };
}

/** The body without nulls, whose values the server chooses. */
const withoutNulls = (body) => Object.fromEntries(Object.entries(body).filter(([, value]) => (value ?? null) !== null));

/** Awaits `reading`; a connection that fails or ends early counts as a server that does not answer. */
export async function whole(reading) {
  try {
    return await reading;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, null);
  }
}

async function line(response) {
  try {
    return (await response.json()).detail;
  } catch {
    return `${response.status} ${response.statusText}`;
  }
}

function parsed(block) {
  let [name, data] = ["", ""];
  for (const row of block.split("\n")) {
    if (row.startsWith("event:")) name = row.slice(6).trim();
    if (row.startsWith("data:")) data += row.slice(5).trim();
  }
  return { name: data ? name : "", data: data ? JSON.parse(data) : null };
}
