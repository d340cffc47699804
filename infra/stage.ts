/** What everything of a stage is tagged with. */
export function tagsOf(
  stage: string,
  pipeline: string | null,
  tags: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return { ...tags, "accrete:stage": stage, ...(pipeline === null ? {} : { "accrete:pipeline": pipeline }) };
}
