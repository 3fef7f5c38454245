"""How often a model is right when it is as sure as this: from the user's own labelled questions.

    await calibrate("questions.jsonl")            %mirador calibrate questions.jsonl

Every question goes through the stages; each answer is graded; what the tokens' probabilities said of
it is set against whether it was right, by model and stage. From 50 labelled answers on Platt's line is
fitted, from 500 the isotonic curve where it does better; the panel then says `calibrated (n=…)`.

    questions    the labelled questions, read and graded
    asking       the questions on their way through the stages
    fit          Platt's line, the isotonic curve, cross-validation
    figures      AUROC, Brier, ECE, the reliability of a number
    kept         what is kept of it, in the user's data folder
    report       all of it as a table and a picture
"""

from mirador_magic.workbench.calibrate.asking import calibrate
from mirador_magic.workbench.calibrate.command import verb
from mirador_magic.workbench.calibrate.fit import Point
from mirador_magic.workbench.calibrate.questions import Labelled
from mirador_magic.workbench.calibrate.report import Report

__all__ = ["Labelled", "Point", "Report", "calibrate", "verb"]
