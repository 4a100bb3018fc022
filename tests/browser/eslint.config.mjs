export { default } from '../../www/eslint.config.js';
