// Starts the page.

import '@fontsource-variable/inter/wght.css';
import { mount } from 'svelte';
import App from './view/App.svelte';
import './app.css';

mount(App, { target: document.getElementById('app')! });
