// Keeps the page for visits without a network: registers the service worker that the build writes (build/offline.ts).
// Starts after the engine has loaded, so that it does not slow the first visit down.

/** Resolves when the page has loaded. */
function loaded(): Promise<void> {
  const { documentElement: html } = document;
  return new Promise((resolve) => {
    const look = (): void => {
      if (html.dataset['phase'] === 'loading') return;
      watcher.disconnect();
      resolve();
    };
    const watcher = new MutationObserver(look);
    watcher.observe(html, { attributeFilter: ['data-phase'] });
    look();
  });
}

/** Registers the service worker where the browser has them; a page without one works, but only with a network. */
export async function keepForOffline(): Promise<void> {
  if (!('serviceWorker' in navigator)) return;
  await loaded();
  try {
    await navigator.serviceWorker.register('./sw.js');
  } catch {
    // Some private windows and some hosts do not allow service workers.
  }
}
