"""The attributes of HelpSteer (Wang et al., 2023), whose names the paper uses: five ratings from 0 to 4.

Helpfulness, correctness and coherence are qualities and rank the completions (paper, 3.2); complexity and verbosity
are styles.
"""

from mmdpo.judge.rubric import Rubric

INSTRUCTIONS = """\
You grade answers that assistants gave to a question, and where there is an image, to the question about that
image. Look at the image yourself before you read the answers. Grade each answer for itself, on five attributes,
with a whole number from 0 to 4.

Three attributes are merits: more is better.

Helpfulness: does the answer do what the question asked for, to the end?
  4  does all of it, and a reader needs to ask nothing further
  3  does it, with something small missing or beside the point
  2  does part of it
  1  touches the question and is of little use
  0  is of no use, or does not answer at all

Correctness: is what the answer says so? Judge by the image and by what is known, not by how sure it sounds.
  4  everything in it is right, and nothing that matters is left out
  3  right but for a detail that does not change the answer
  2  a mixture of right and wrong
  1  mostly wrong, with something right in it
  0  wrong, or made up; things that the image does not show count as made up

Coherence: is the answer clear in itself?
  4  clear throughout, one thought follows from another
  3  clear, with one clumsy or repeated place
  2  can be followed with effort
  1  hard to follow, or contradicts itself
  0  not language that makes sense

Two attributes are styles: more is neither better nor worse.

Complexity: how much knowledge does it take to have written the answer?
  4  an expert's  3  much knowledge of the subject  2  some schooling  1  everyday words  0  a child's

Verbosity: how long is the answer for what was asked?
  4  very long  3  longer than needed  2  of fitting length  1  short  0  as short as can be

Do not let the order in which the answers stand, or their length, move the merits.
"""

TASK = """\
First review each completion: what is right, what is wrong, what is missing. Then calibrate: compare the
completions with each other and say which ratings would be too high or too low. Then rate each completion
with five whole numbers from 0 to 4.

Reply with one JSON object and nothing else:
{"reviews": [{"label": "A", "reasoning": "..."}, ...],
 "calibration": "...",
 "ratings": [{"label": "A", "helpfulness": 0, "correctness": 0, "coherence": 0, "complexity": 0,
              "verbosity": 0}, ...]}
with one entry for each of the completions %s, in this order.
"""

REMINDER = """\
Your last reply could not be read (%s). Reply with the JSON object alone, one rating for each completion.
"""

RUBRIC = Rubric(
    name="helpsteer_1",
    attributes=("helpfulness", "correctness", "coherence", "complexity", "verbosity"),
    scale=(0, 4),
    aggregate=("helpfulness", "correctness", "coherence"),
    instructions=INSTRUCTIONS,
    task=TASK,
    reminder=REMINDER,
    spellings={  # the paper's appendix prints "Correctness 4" and "Verbose: 2"
        "helpfulness": r"helpful(?:ness)?",
        "correctness": r"correct(?:ness)?",
        "coherence": r"coheren(?:ce|t)",
        "complexity": r"complex(?:ity)?",
        "verbosity": r"verbos(?:e|ity)",
    },
)
