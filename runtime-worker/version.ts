/** The release. The package's number is put in when the Worker is bundled. */
import packageJson from "../package.json" with { type: "json" };

export const VERSION: string = packageJson.version;
