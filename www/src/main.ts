// Starts the page.

import '@fontsource-variable/inter/wght.css';
import { mount } from 'svelte';
import App from './view/App.svelte';
import './app.css';
import { keepForOffline } from './offline';

mount(App, { target: document.getElementById('app')! });
if (import.meta.env.PROD) void keepForOffline();
