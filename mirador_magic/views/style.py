"""The rules of the live panel and of the buttons. The static twin does without: its styles are inline.

All of it in the theme's own colours; those of the bars are the confidence's.
"""

from mirador_magic.confidence import CYAN, GRAY, RED
from mirador_magic.views.static import FAINT, QUIET

# The sizes and the right edge are those of a static output, so that nothing jumps at the end.
FETCH = "mirador-fetch"  # the class of a button below the text

PANEL = f"""<style>
.mirador {{overflow: hidden; position: relative}}
.mirador .widget-html, .mirador .widget-html-content, .mirador .widget-htmlmath,
.mirador .widget-htmlmath-content {{margin: 0; width: 100%; height: auto;
  font-size: var(--jp-content-font-size1, 14px); line-height: var(--jp-content-line-height, 1.6)}}
.mirador .widget-html, .mirador .widget-htmlmath {{overflow: visible}}
.mirador > .jupyter-button {{position: absolute; z-index: 1; top: 0; right: 20px;
  width: auto !important; height: 22px; line-height: 20px; margin: 0; padding: 0 8px;
  font-size: 13px; color: inherit; background: none; border: 1px solid #80808080}}
.mirador > .{FETCH}.jupyter-button {{position: static; align-self: flex-start; height: 28px;
  margin: 0 0 8px 22px; padding: 0 12px}}
.mirador > .jupyter-button:hover {{border-color: currentcolor; box-shadow: none}}
.mirador-stage {{position: relative; padding: 0 0 0 12px; margin: 0 0 10px !important;
  border-left: 3px solid}}
.mirador-none {{border-left: 3px solid {FAINT}}}
.mirador-unsure {{border-left: 3px dashed {GRAY}}}
.mirador-low {{border-left: 3px solid {GRAY}}}
.mirador-sure {{border-left: 3px solid {CYAN}}}
.mirador-failed {{border-left: 3px solid {RED}}}
.mirador-head {{padding-left: 15px}}
.mirador-fold {{position: absolute; left: 12px; width: 15px !important; z-index: 1}}
.mirador-fold summary, .mirador-thinking summary {{cursor: pointer}}
.mirador-thinking summary {{{QUIET}}}
.mirador-text {{margin: 7px 0 !important}}
.mirador-text > :first-child > * > :first-child, .mirador-text > :first-child > *
  > .mathjax_ignore > :first-child {{margin-top: 0 !important}}
.mirador-text > :last-child > * > :last-child, .mirador-text > :last-child > *
  > .mathjax_ignore > :last-child {{margin-bottom: 0 !important}}
.mirador-fold:has(details:not([open])) ~ :not(.mirador-head),
.mirador-thinking:has(details:not([open])) + .mirador-thoughts {{display: none}}
.mirador-writing > .mirador-text > .widget-html:last-child > * > :last-child::after,
.mirador-writing > .mirador-text > .widget-vbox:last-child > .widget-html:last-child > *
  > :last-child::after {{content: "▌"; animation: mirador-blink 1s steps(2) infinite}}
@keyframes mirador-blink {{50% {{opacity: 0}}}}
@media (prefers-reduced-motion: reduce) {{.mirador ::after {{animation: none !important}}}}
</style>""".replace("\n", " ").replace("  ", "")

BUTTONS = """
.mirador-act {font: inherit; font-size: 12px; line-height: 18px; margin: 0 12px 0 0; padding: 0 8px;
  color: inherit; background: none; border: 1px solid #80808080; border-radius: 0; cursor: pointer}
.mirador-act:hover {border-color: currentcolor}
.mirador-code {position: relative}
.mirador-code > .mirador-act {position: absolute; top: 4px; right: 4px; margin: 0;
  background: var(--jp-layout-color1, Canvas)}
"""
