import { expect, test } from "vitest";
import { formatDuration, formatTime, parseBool, parseUint } from "./go-values.ts";

test("parseBool() takes Go's words and no others", () => {
  for (const text of ["1", "t", "T", "true", "TRUE", "True"]) expect(parseBool(text)).toBe(true);
  for (const text of ["0", "f", "F", "false", "FALSE", "False"]) expect(parseBool(text)).toBe(false);
  for (const text of ["", "yes", "tRUE", " true", "2"]) expect(parseBool(text)).toBeUndefined();
});

test("parseUint() takes digits up to 2^64 - 1", () => {
  expect(parseUint("0")).toBe(0);
  expect(parseUint("007")).toBe(7);
  expect(parseUint("18446744073709551615")).toBe(18_446_744_073_709_552_000);
  for (const text of ["", "-1", "+1", "1.5", "0x5", "1_0", " 1", "18446744073709551616"]) expect(parseUint(text)).toBeUndefined();
});

test("formatTime() agrees with the calendar of the host", () => {
  expect(formatTime(1_795_418_357_480)).toBe("2026-11-23T07:19:17.48Z");
  expect(formatTime(951_782_400_000)).toBe("2000-02-29T00:00:00Z");
  // Steps of about nine days and a bit, from 1970 to the year 9999.
  for (let ms = 0; ms < 253_402_300_799_000; ms += 777_777_777_777) {
    const host = new Date(ms).toISOString().replace(/\.?0*Z$/, "Z");
    expect(formatTime(ms)).toBe(host);
  }
});

test("formatDuration() writes hours, minutes and seconds as Go does", () => {
  const cases: [number, string][] = [
    [0, "0s"],
    [500, "500ms"],
    [1463, "1.463s"],
    [60_000, "1m0s"],
    [7_384_005, "2h3m4.005s"],
  ];
  for (const [ms, text] of cases) expect(formatDuration(ms)).toBe(text);
});
