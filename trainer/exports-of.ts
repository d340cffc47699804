/** What a CommonJS module exports, loaded by import(): Node finds its names, a bundle has them in `default` alone. */
export function exportsOf<Module extends object>(module: Module & { default?: Module }): Module {
  return module.default ?? module;
}
