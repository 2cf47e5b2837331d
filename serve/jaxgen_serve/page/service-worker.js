// Only for static sites: caches all of a site's files, so that it works offline, and adds the headers that let
// onnxruntime use all cores from the second visit on.

const SITE = { version: "", files: [] }; // filled in by 'jaxgen export --web'
const PREFIX = `jaxgen ${registration.scope} `;
const KEPT = PREFIX + SITE.version;
const ISOLATED = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

oninstall = (event) => {
  const fresh = SITE.files.map((file) => new Request(file, { cache: "no-cache" }));
  event.waitUntil(caches.open(KEPT).then((kept) => kept.addAll(fresh)));
};

onactivate = (event) => {
  const old = (name) => name.startsWith(PREFIX) && name !== KEPT;
  const clear = async () => Promise.all((await caches.keys()).filter(old).map((name) => caches.delete(name)));
  event.waitUntil(clear().then(() => clients.claim()));
};

onfetch = (event) => {
  if (new URL(event.request.url).origin === location.origin) event.respondWith(answer(event.request));
};

async function answer(request) {
  const kept = await caches.open(KEPT);
  const response = (await kept.match(request, { ignoreSearch: true, ignoreMethod: true })) ?? (await fetch(request));
  if (!response.ok) return response;
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(ISOLATED)) headers.set(name, value);
  return new Response(request.method === "HEAD" ? null : response.body, { status: response.status, headers });
}
