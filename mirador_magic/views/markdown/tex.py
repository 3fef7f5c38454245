"""The TeX that a page may typeset for a model: what may be is listed here, and all else is its source.

Not listed, among much: what loads, links or defines (MathJax keeps a definition for the whole page), and
what moves, stretches, colours or hides: with these a formula is drawn outside its place.
"""

from __future__ import annotations

import re

_GREEK = """
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon
phi chi psi omega varepsilon vartheta varkappa varpi varrho varsigma varphi digamma Gamma Delta Theta
Lambda Xi Pi Sigma Upsilon Phi Psi Omega varGamma varDelta varTheta varLambda varXi varPi varSigma
varUpsilon varPhi varPsi varOmega
"""
_SIGNS = """
aleph beth gimel daleth hbar hslash ell imath jmath Re Im wp partial nabla infty emptyset varnothing prime
backprime forall exists nexists neg lnot top bot angle measuredangle sphericalangle triangle triangledown
square blacksquare Box Diamond lozenge bigstar star diamond checkmark dagger ddagger S P pounds
complement mho eth Bbbk surd flat natural sharp clubsuit diamondsuit heartsuit spadesuit
pm mp times div cdot cdotp ast circ bullet oplus ominus otimes oslash odot cap cup uplus sqcap sqcup vee
wedge lor land setminus smallsetminus wr amalg bigcirc triangleleft triangleright ltimes rtimes boxplus
boxminus boxtimes dotplus barwedge veebar Cap Cup intercal divideontimes colon vert Vert lvert rvert lVert
rVert mid nmid parallel nparallel perp
leq le geq ge neq ne equiv approx sim simeq cong asymp propto doteq ll gg lll ggg prec succ preceq succeq
subset supset subseteq supseteq subsetneq supsetneq nsubseteq nsupseteq sqsubset sqsupset sqsubseteq
sqsupseteq in ni notin owns models vdash dashv Vdash vDash nvdash nvDash bowtie smile frown leqslant geqslant
lesssim gtrsim lessgtr gtrless nless ngtr nleq ngeq nsim ncong approxeq thickapprox thicksim backsim eqsim
triangleq trianglelefteq trianglerighteq vartriangle between pitchfork therefore because coloneqq eqqcolon
varpropto lneq gneq precsim succsim
to gets leftarrow rightarrow leftrightarrow Leftarrow Rightarrow Leftrightarrow uparrow downarrow
updownarrow Uparrow Downarrow Updownarrow mapsto longmapsto longleftarrow longrightarrow
longleftrightarrow Longleftarrow Longrightarrow Longleftrightarrow implies impliedby iff hookleftarrow
hookrightarrow nearrow searrow swarrow nwarrow rightharpoonup rightharpoondown leftharpoonup
leftharpoondown rightleftharpoons leftrightharpoons rightsquigarrow leadsto nrightarrow nleftarrow
nRightarrow nLeftarrow twoheadrightarrow twoheadleftarrow rightrightarrows leftleftarrows
circlearrowleft circlearrowright curvearrowleft curvearrowright upharpoonright restriction
dots ldots cdots vdots ddots dotsb dotsc dotsi dotsm dotso
"""
_FUNCTIONS = """
arccos arcsin arctan arg cos cosh cot coth csc deg det dim exp gcd hom inf ker lg lim liminf limsup ln log
max min Pr sec sin sinh sup tan tanh injlim projlim varliminf varlimsup bmod pmod mod pod operatorname
sum prod coprod int iint iiint iiiint oint bigcup bigcap bigvee bigwedge bigoplus bigotimes bigodot biguplus
bigsqcup limits nolimits
"""
_SHAPES = """
frac dfrac tfrac cfrac binom dbinom tbinom sqrt root of over choose substack overset underset stackrel
overline underline overbrace underbrace overrightarrow overleftarrow overleftrightarrow underrightarrow
underleftarrow widehat widetilde hat check tilde acute grave dot ddot dddot breve bar vec mathring
xrightarrow xleftarrow boxed not tag notag nonumber hline
left right middle big Big bigg Bigg bigl Bigl biggl Biggl bigr Bigr biggr Biggr bigm Bigm biggm Biggm
langle rangle lfloor rfloor lceil rceil lbrace rbrace lbrack rbrack lgroup rgroup ulcorner urcorner
llcorner lrcorner backslash
text textrm textbf textit textsf texttt textnormal mathrm mathbf mathit mathsf mathtt mathbb mathcal
mathfrak mathscr mathnormal boldsymbol pmb bf rm it cal displaystyle textstyle scriptstyle
scriptscriptstyle mathbin mathrel mathop mathord mathopen mathclose mathpunct mathinner
quad qquad thinspace medspace thickspace enspace negthinspace
begin end
"""
COMMANDS = frozenset(f"{_GREEK} {_SIGNS} {_FUNCTIONS} {_SHAPES}".split())
_MARKS = frozenset(",;:!> \n{}|%$&#_")  # behind a backslash; a second one is a new line
ENVIRONMENT = (
    r"(?:equation|align|alignat|aligned|alignedat|gather|gathered|multline|eqnarray|flalign|split"
    r"|d?cases|rcases|array|subarray|(?:small)?matrix|[pbBvV]matrix)\*?"
)

_COMMAND = re.compile(r"\\(?:([A-Za-z]+)|(.)|\Z)", re.DOTALL)
# Behind these stands what they take: nothing that a column or a line could be moved by.
_BEGINS = re.compile(
    rf"(?:array|subarray)\}}\s*(?:\[[tbc]\])?\s*\{{[lcr|\s]{{1,40}}\}}"
    rf"|(?:alignat|alignedat)\*?\}}\s*\{{\d{{1,2}}\}}|(?!array|subarray|alignat|alignedat){ENVIRONMENT}\}}"
)
_NEW_LINE = re.compile(r"\*?[ \t]*\[(?!\s*(?:[0-9]|1[0-9])(?:\.\d)?(?:pt|ex|mm)\s*\])\s*[-+.\d]")


def may_be(tex: str) -> bool:
    """Whether all of it is on the list."""
    for found in _COMMAND.finditer(tex):
        name, mark = found.groups()
        if name == "begin":
            if not (opened := re.compile(r"\s*\{").match(tex, found.end())):
                return False
            if not _BEGINS.match(tex, opened.end()):
                return False
        elif name is not None:
            if name not in COMMANDS:
                return False
        elif mark == "\\":
            if _NEW_LINE.match(tex, found.end()):
                return False
        elif mark is None or mark not in _MARKS:
            return False
    return True
