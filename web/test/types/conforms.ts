// The modules are what c10m.d.ts says of them.
import * as source from "../../src/c10m.js";
import { defaults, outboxLimits } from "../../src/limits.js";
import * as types from "../../c10m.js";

type Same<A, B> = [A, B] extends [B, A] ? true : false;

export const exports: Same<keyof typeof source, keyof typeof types> = true;
export const client: new (url: string | URL, options?: types.Options) => types.C10m = source.C10m;
export const error: typeof types.C10mError = source.C10mError;
export const outcomes: typeof types.outcomes = source.outcomes;
export const subscription = (made: source.Subscription): types.Subscription => made;

// What the constructor accepts beside its defaults.
type Injected = "WebSocket" | "fetch" | "clock" | "random";
export const options: Same<keyof typeof defaults | Injected, keyof types.Options> = true;
export const queue: Same<keyof typeof outboxLimits, keyof types.QueueOptions> = true;
