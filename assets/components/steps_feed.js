// Further steps of a generation on their way to its view: kept by the name of their stream, so that
// a view that comes up later finds them too.
export default function ({ data }) {
  const streams = (globalThis.switchboardSteps ??= new Map());
  if (!streams.has(data.stream)) streams.set(data.stream, new Map());
  for (const step of data.steps) streams.get(data.stream).set(step.index, step);
  globalThis.dispatchEvent(new CustomEvent("switchboard:steps", { detail: data.stream }));
}
