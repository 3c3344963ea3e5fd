// A JavaScript library by its own name, given by the server and read once a page; what the server does
// not give, as it is being started again, is asked for again.
const library = name => (globalThis.switchboardLibraries ??= {})[name] ??= new Promise(done => {
  const own = document.querySelector("script[src*='/static/js/']").src; // by which Streamlit itself came
  const ask = () => document.head.append(Object.assign(document.createElement("script"), {
    src: new URL(`../../${LIBRARIES[name]}`, own).href,
    onload: () => done(globalThis[name]),
    onerror() { this.remove(); setTimeout(ask, 1000); },
  }));
  ask();
});
