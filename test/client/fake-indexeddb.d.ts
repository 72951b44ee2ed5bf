/** The package has types for what it exports, none for the module that is imported for its effect. */
declare module "fake-indexeddb/auto";
