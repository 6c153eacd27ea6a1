// What went wrong, in words for an operator.

import { NO_CONNECTION } from "/js/api.js";
import { explained } from "/js/problems.js";
import { has, t } from "/js/messages.js";

/** Whether asking again with the same key would be refused again. */
export const isRefusal = ({ status }) => status === 401 || status === 403;

/** A title and a sentence for a problem of the API, and what the gateway itself said, which may be empty. */
export function problemWords(problem) {
  const { title, sentence } = known(problem) ?? explained(problem);
  return { title, sentence, said: [problem.detail, problem.traceId].filter(Boolean).join(" · ") };
}

function known({ status, reason }) {
  if (reason === NO_CONNECTION || !status) return null;
  const name = [reason, status, "other"].find((one) => has(`console.problem.${one}.sentence`));
  return { title: t(`console.problem.${name}.title`), sentence: t(`console.problem.${name}.sentence`) };
}
