#!/usr/bin/env python3
"""Writes testdata/templates/cases.json: small templates and what Jinja2 makes of them in the setting chat templates are written for.

Needs jinja2 3.1.6. A case is {"template", "output" or "error"}; all share one context. Where Jinja2 differs from what is
wanted here (integers beyond 64 bits, for one), the case does not belong in this file but in the tests.
"""
import datetime
import json
import pathlib

import jinja2
import jinja2.ext
import jinja2.sandbox

import manifest

NOW = datetime.datetime(2026, 7, 4, 12, 0, 0)

CONTEXT = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "n": 7,
    "neg": -7,
    "half": 2.5,
    "yes": True,
    "no": False,
    "nil": None,
    "s": "Hello, World",
    "uni": "Zürich 日本語 🎌 ß",
    "ws": " \t two  words \n",
    "html": "<b>&\"'</b>",
    "lines": "one\ntwo\n\nthree",
    "empty": "",
    "xs": [3, 1, 2],
    "words": ["pear", "Apple", "fig", "apple"],
    "nested": [[1, 2], [3, [4, 5]]],
    "d": {"b": 2, "a": 1, "C": 3},
    "people": [
        {"name": "Ann", "age": 31, "tags": ["x", "y"], "home": {"city": "Oslo"}},
        {"name": "bob", "age": 25, "tags": [], "home": {"city": "Bern"}},
        {"name": "Cid", "age": 31, "tags": ["z"], "home": {"city": "Oslo"}},
    ],
    "tree": [{"v": 1, "kids": [{"v": 2, "kids": []}, {"v": 3, "kids": [{"v": 4, "kids": []}]}]}, {"v": 5, "kids": []}],
    "messages": [
        {"role": "system", "content": "Be terse."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello", "tool_calls": [{"name": "f", "arguments": {"x": 1.0, "y": [True, None]}}]},
    ],
}

EXPRESSIONS = r"""
1 + 2 * 3 - 4
7 / 2
7 // 2
neg // 2
neg % 3
7 % -3
-7.5 % 2
7.5 // 2
2 ** 10
2 ** -1
2 ** 3 ** 2
-2 ** 2
- - 3
+n
-half
1 / 0
1 % 0
1 // 0
1.0 / 0
0.1 + 0.2
1e16
1e15
1e22
1e-5
0.0001
1.5e300 * 1e10
1_000 + 0x1F + 0b101 + 0o17
1_0.5_0
123456789.123
3.0
100000000000000000.0
yes + 1
yes * 3
'a' + 'b'
'a' + 1
1 + 'a'
'ab' * 3
3 * 'ab'
'ab' * -1
[1] + [2, 3]
[1] * 3
(1,) + (2,)
(1,) * 2
[1] + (2,)
nil + 'a'
'a' ~ 1 ~ nil ~ true ~ 2.50 ~ [1, 'x'] ~ undefined_thing ~ 'z'
'a' 'b' "c"
1 == 1.0
true == 1
'1' == 1
[1, 2] == [1, 2]
[1, 2] == (1, 2)
{'a': 1} == {'a': 1.0}
nil == false
missing == missing2
missing == nil
1 < 2 < 3
1 < 3 < 2
3 > 2 >= 2 != 1
'a' < 'b'
'Z' < 'a'
[1, 2] < [1, 3]
(1, 2) < (1, 2, 0)
1 < 'a'
nil < 1
missing < 1
'ell' in s
'x' in s
1 in s
2 in xs
9 not in xs
'a' in d
'z' not in d
1 in nil
nil in [nil]
'a' in missing
2 in range(5)
2.0 in range(5)
7 in range(0, 10, 2)
not yes
not not yes
not 1 == 2
yes and no
yes or no
'' or 'x'
'a' and 'b'
0 or [] or {} or 'end'
nil and nil.x
yes and not no or nil
1 if yes else 2
1 if no else 2
1 if no
(1 if no) is defined
'a' if no else 'b' if no else 'c'
1 if yes if no else 3
[] if missing else 'm'
xs[0]
xs[-1]
xs[5]
xs[5] is defined
xs[5].x
xs['a']
xs.0
nested[1][1][0]
nested.1.1.0
s[0]
s[-1]
s[99]
s[0:5]
s[:5]
s[-5:]
s[::-1]
s[::2]
s[10:2:-3]
s[-100:100]
s[5:2]
uni[7:10]
uni[::-1]
uni[-3]
xs[::-1]
xs[1:]
xs[:-1]
xs[::2]
xs[1:1]
xs[::0]
(1, 2, 3)[1:]
range(10)[2:8:3]
range(10)[-1]
range(5)
range(5)|list
range(2, 5)|list
range(10, 0, -3)|list
range(0)|list
range(1, 2, 0)
range('a')
d.a
d['a']
d.zzz
d['zzz'] is defined
d.zzz.y
d.get('a')
d.get('z')
d.get('z', 9)
d.keys()
d.values()
d.items()
d.keys()|list
d.items()|list
d.items()[0]
d.items is callable
d|length
d
d.copy()
d.update({'x': 1})
d.pop('a')
d.__class__
s.__class__.__mro__
xs.append(4)
xs.append is defined
xs.pop()
xs.count(1)
xs.index(2)
xs.index(9)
{'items': 5}.items is callable
{'items': 5}['items']
{1: 'i', 1.0: 'f', true: 't'}
{'a': 1, 'a': 2}
{[1]: 2}
{}
[]
()
(1,)
(1, 2)
[1, 2.0, 'x', none, true, [1], {'k': (1, 2)}]
['it\'s', "say \"hi\"", 'both \' and "']
['tab\t', 'nl\n', 'bs\\', '\x00\x7f', 'é', '\u200b', '🎌', '\u00ad']
'\x41\u0042\U00000043\101'
'\d\é'
'line\
joined'
'\u12'
none
None
true
True
nope
nope.x
nope()
nope + 1
nope ~ 1
nope|length
nope|upper
nope|int
nope|list
-nope
n()
s()
s.nosuch
s.nosuch()
s.upper()
s.lower()
s.title()
s.swapcase()
s.capitalize()
uni.upper()
uni.lower()
uni.title()
'ΑΣ ΣΑΣ'.lower()
'ǆ'.title()
'ﬁn'.upper()
"they're bill's".title()
"they're bill's"|title
'hello-world (foo) [bar]'|title
ws.strip()
'[' ~ ws.lstrip() ~ ']'
'[' ~ ws.rstrip() ~ ']'
'xxhixx'.strip('x')
'xyhiyx'.lstrip('xy')
'hi!?'.rstrip('?!')
'xxhixx'.strip(none)
s.split()
s.split(', ')
s.split('l')
s.split('l', 1)
s.rsplit('l', 1)
s.split('zz')
s.split('')
ws.split()
' a b  c '.split(none, 1)
' a b  c '.rsplit(none, 1)
'a,b,,c'.split(',')
'a,b,c'.split(sep=',', maxsplit=1)
empty.split()
empty.split(',')
lines.splitlines()
'a\r\nb\rc\x0bd\n'.splitlines()
'a\r\nb'.splitlines(true)
s.partition(', ')
s.partition('zz')
s.rpartition('l')
s.startswith('Hell')
s.startswith('ell', 1)
s.startswith(('x', 'H'))
s.startswith(['H'])
s.endswith('ld')
s.endswith(('ld', 'zz'))
s.endswith('Hello', 0, 5)
s.replace('l', 'L')
s.replace('l', 'L', 2)
s.replace('', '-')
'aaa'.replace('aa', 'b')
s.replace('l')
s.find('o')
s.find('o', 5)
s.find('zz')
s.rfind('o')
s.index('W')
s.index('zz')
uni.find('語')
s.count('l')
s.count('')
s.count('l', 4)
'-'.join(['a', 'b', 'c'])
', '.join([1, 2])
''.join('abc')
'x'.join({'a': 1, 'b': 2})
'7'.zfill(3)
'-7'.zfill(4)
'ab'.center(7)
'ab'.center(6, '*')
'abc'.center(6, '*')
'ab'.ljust(5, '.')
'ab'.rjust(5)
'a\tb'.expandtabs(4)
'abc'.isalpha()
'ab1'.isalnum()
'12'.isdigit()
'²'.isdigit()
'½'.isnumeric()
''.isalpha()
'aB'.islower()
'AB1'.isupper()
'Ab Cd'.istitle()
' \n'.isspace()
'a_b'.isidentifier()
'prefix-x'.removeprefix('prefix-')
'x.txt'.removesuffix('.txt')
'{} and {}'.format(1, 'x')
'{0} {1} {0}'.format('a', 'b')
'{name!r}'.format(name='x')
'{:>5}|{:<5}|{:^5}'.format(1, 'b', 'c')
'{:05d} {:+d} {:,}'.format(42, 7, 1234567)
'{:.2f} {:e} {:g} {:%}'.format(3.14159, 12345.678, 0.0001, 0.25)
'{:x} {:#x} {:b} {:o} {:X}'.format(255, 255, 5, 8, 255)
'{:*^9}'.format('mid')
'{:.3}'.format('abcdef')
'{:.3}'.format(3.14159)
'{:08.3f}'.format(-3.14159)
'{:010,}'.format(1234567)
'{a[k]} {a.k} {b[0]}'.format(a={'k': 1}, b=[2])
'{{}} {}'.format(1)
'{} {}'.format(1)
'{:{}}|'.format('x', 4)
'{:d}'.format('x')
'%s is %d years' % ('Ann', 31)
'%05.2f|%-6s|%6s|%+d' % (3.14159, 'ab', 'cd', 5)
'%x %X %o %e %g %%' % (255, 255, 8, 12345.678, 0.5)
'%r %s' % ('a', none)
'%(a)s-%(b)d' % {'a': 'x', 'b': 3}
'%s' % 'one'
'%s %s' % 'one'
'%d' % 'x'
'%s' % [1, 2]
'%c%c' % ('a', 98)
'%s-%s'|format('a', 1)
'%5.1f'|format(2.25)
s|upper
s|lower
'hELLO wORLD'|capitalize
s|length
uni|length
uni|count
nil|length
5|length
xs|first
xs|last
empty|first
[]|first
[]|first is defined
d|first
d|last
s|first
s|last
xs|sort
xs|sort(reverse=true)
words|sort
words|sort(case_sensitive=true)
people|sort(attribute='age')|map(attribute='name')|list
people|sort(attribute='age,name', reverse=true)|map(attribute='name')|list
people|sort(attribute='home.city')|map(attribute='name')|join
[1, 'a']|sort
words|unique|list
words|unique(case_sensitive=true)|join(',')
people|map(attribute='home.city')|unique|list
xs|min
xs|max
words|min
words|max(case_sensitive=true)
people|max(attribute='age')
[]|max
xs|sum
people|sum(attribute='age')
xs|sum(start=10)
['a']|sum
xs|join
xs|join('-')
people|join(', ', attribute='name')
'abc'|join('.')
nil|join
xs|reverse|list
s|reverse
xs|reverse|first
words|map('upper')|list
words|map('replace', 'p', 'b')|join(' ')
words|map('nosuch')|list
people|map(attribute='zip', default='?')|list
people|map(attribute='tags.0')|list
words|map('length')|sum
xs|map('string')|join('+')
missing|map('upper')|list
xs|select('odd')|list
xs|select('gt', 1)|list
xs|reject('odd')|list
[0, 1, '', 'a', none]|select|list
[0, 1, '', 'a', none]|reject|list
people|selectattr('age', 'eq', 31)|map(attribute='name')|list
people|selectattr('tags')|map(attribute='name')|list
people|rejectattr('tags')|map(attribute='name')|list
people|selectattr('home.city', '==', 'Bern')|list|length
people|selectattr('name', 'in', ['Ann', 'Cid'])|map(attribute='age')|list
xs|select('nosuch')|list
xs|batch(2)|list
xs|batch(2, 'x')|list
range(7)|slice(3)|list
range(7)|slice(3, 'x')|list
people|groupby('age')|length
people|groupby('home.city')|map('first')|list
(people|groupby('age'))[0].grouper
(people|groupby('age'))[1].list|map(attribute='name')|join
d|dictsort
d|dictsort(true)
d|dictsort(false, 'value')
d|dictsort(reverse=true)
d|items|list
missing|items|list
xs|items|list
d|list
s|list
xs|string
5|string ~ 'x'
nil|string
'42'|int
'42.9'|int
'x'|int
'x'|int(7)
'0x1f'|int(0, 16)
'1f'|int(base=16)
'101'|int(base=2)
' 12 '|int
'1_000'|int
'1e3'|int
nil|int
true|int
3.99|int
-3.99|int
'inf'|int
'3.5'|float
'x'|float
'x'|float(1.5)
'1e3'|float
'inf'|float
nil|float
5|float
-5|abs
-2.5|abs
'a'|abs
42.55|round
42.55|round(1)
2.5|round
3.5|round
0.125|round(2)
1234|round(-2)
42.55|round(1, 'floor')
42.51|round(1, 'ceil')
5|round
1.23456|round(3)
42|round(1, 'common')
1.5|round(method='x')
ws|trim
'xxaxx'|trim('x')
nil|trim
5|trim
s|replace('l', 'L')
s|replace('l', 'L', 1)
5|replace('5', 'five')
xs|replace('[', '(')
missing|default('d')
missing|d('d')
empty|default('d')
empty|default('d', true)
nil|default('d')
nil|default('d', boolean=true)
missing|default
missing.x|default('d')
html|escape
html|e
html|e|e
html|escape|safe
html|forceescape
(html|e) ~ '<'
(html|e) + '<'
('<'|safe) + '<'
'<' + ('&'|safe)
(html|safe)|upper
[html|safe]
html|striptags
lines|indent
lines|indent(2)
lines|indent(2, true)
lines|indent(2, first=true, blank=true)
lines|indent('> ')
empty|indent
5|indent
'foo bar baz qux'|truncate(9)
'foo bar baz qux'|truncate(9, true)
'foo bar baz qux'|truncate(11)
'foo bar baz qux'|truncate(11, false, '...', 0)
'foo bar baz qux'|truncate(2)
'ab'|center(10) ~ '|'
'one two, three_four five-six'|wordcount
'a b/c?d=é'|urlencode
{'a': 1, 'b c': 'x/y'}|urlencode
123456789|filesizeformat
1|filesizeformat
1024|filesizeformat(true)
d|tojson
[1, 1.0, 1e100, 'é"\\\n\t<&>\x01\x7f', none, true, {'a': []}]|tojson
uni|tojson
uni|tojson(ensure_ascii=true)
{'b': 1, 'a': {'d': [1, 2], 'c': {}}}|tojson(indent=2)
{'b': 1, 'a': 2}|tojson(sort_keys=true)
[1, [2, 3]]|tojson(separators=(',', ':'))
[1, [2, {'a': 3}]]|tojson(indent='\t')
{1: 2, none: 3, true: 4, 1.5: 5}|tojson
{(1, 2): 3}|tojson
(1, 2)|tojson
missing|tojson
xs|map('string')|tojson
d.items()|tojson
range(3)|tojson
[]|tojson(indent=2)
messages[2].tool_calls|tojson
messages[2]
xs|nosuch
xs is nosuch
nil|attr('x')
d|attr('items') is callable
d|attr('a') is defined
1 is odd
2 is even
-1 is odd
'a' is odd
9 is divisibleby 3
9 is divisibleby(4)
9 is divisibleby 0
missing is defined
missing is undefined
nil is none
nil is not none
nil is defined
s is string
5 is string
5 is number
true is number
2.5 is number
5 is integer
true is integer
5.0 is integer
5.0 is float
true is boolean
1 is boolean
true is true
1 is true
false is false
0 is false
d is mapping
xs is mapping
xs is sequence
s is sequence
d is sequence
5 is sequence
missing is sequence
xs is iterable
5 is iterable
nil is iterable
missing is iterable
d.items() is iterable
d.items() is sequence
xs|map('string') is iterable
xs|map('string') is sequence
s is lower
'abc' is lower
'ABC' is upper
5 is eq 5
5 is eq(6)
5 is ne 6
5 is gt 4
5 is ge 5
5 is lt 4
5 is le 4
5 is greaterthan 4
5 is equalto 5
1 is in [1, 2]
'a' is in 'abc'
1 is not in [2]
range is callable
s is callable
s.upper is callable
nil is sameas none
true is sameas 1
'upper' is filter
'nosuch' is filter
'odd' is test
html|safe is escaped
html is escaped
1 is defined and 2 is defined
not missing is defined
1 is string or 2 is number
5 is number is defined
namespace(a=1).a
namespace({'a': 2}, b=3).b
namespace(a=1)['a']
namespace(a=1).zz
namespace(_a=1)
dict(a=1, b=2)
dict([('a', 1), ['b', 2]])
dict({'a': 1}, b=2)
dict.fromkeys(['a', 'b'], 0)
dict(1)
raise_exception('no: ' ~ n)
raise_exception()
strftime_now('%Y-%m-%d')
strftime_now('%d %B %Y, %A %H:%M:%S %j %U %p %I %y %b %a %e %-d %W %w %u %V %G %%')
strftime_now('%d %b %Y')
joiner()()
cycler('a', 'b').next()
cycler()
[x for x in xs]
lambda x: x
'Straße ﬁ Σς'.casefold()
-(-0.5 // neg)
n[1:]
d[1:]
nil[:1]
missing[1:]
xs['a':]
range(5)[::-2]
range(5)[2:1]
'%%' % xs
'%%' % missing
'%%' % 5
dict(missing)
(html|e)|list
1 +
(1
1)
[1, 2
{'a' 1}
{'a': }
'abc
a..b
a.'b'
xs[
xs[]
1 2
$
a ! b
a = 1
f(a=1, 2)
f(**d, 1)
f(*xs, *xs)
is defined
not
in xs
"unterminated
1 if
d.a.b.c
messages[-1]['content']
messages[0].role ~ ':' ~ messages[0]['content']
messages[-1].tool_calls[0].arguments.y[0]
messages|length
messages|selectattr('role', 'equalto', 'user')|list|length
messages|map(attribute='role')|join(',')
(messages|first).role
messages[1:]|map(attribute='content')|list
bos_token ~ eos_token
"%.3f"|format(1/3)
"{:.3f}".format(2/3)
1.0|string
1e3|int
0.5|tojson
1e20|tojson
-0.0
7.0 // 2
1 == true
'abc' > 'abd'
'é' < 'z'
xs == [3, 1, 2]
d.a + d['b'] * d.C
(1, 2) in [(1, 2)]
{'x': [1]}['x'][0]
'a' not in d and 'b' in d
yes is true and no is false
loop
caller
varargs
"a" in ["a"] == true
1 in [1] in [true]
xs|sort|join(',')|upper
(xs|length) > 2
xs|length > 2
not xs|length > 5
-1|abs
-n|abs
2 - -2
'x' ~ 1 + 2
1 ~ 2 * 3
'a'|upper ~ 'b'|upper
s.split(',')[0]
s.split(',')|last|trim
'<think>a</think>b'.split('</think>')[-1].lstrip('\n')
'<think>\nA\n</think>\n\nB'.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n')
""" + "'emoji 👩‍👩‍👧'|length\n'e\u0301'|length\n'e\u0301' == 'é'\n'İ'.lower()|length\n'\u00a0x\u3000'.strip()\n'a\u2028b'.splitlines()\n"

TEMPLATES = [
    "plain text\n",
    "plain text\n\n",
    "a\r\nb\rc\n",
    "{# comment #}x",
    "a\n  {# comment #}\nb",
    "a {#- c -#} b",
    "a\n{#+ c +#}\nb",
    "{# unclosed",
    "{{ '{{' }} {{ '%}' }}",
    "{% raw %}{{ x }}{% endraw %}",
    "a\n  {% raw %}\n  {{ x }}\n  {% endraw %}\nb",
    "a {%- raw -%} {{ x }} {%- endraw -%} b",
    "{% raw %}unclosed",
    "{% if yes %}\nA\n{% endif %}\nB",
    "  {% if yes %}\n  A\n  {% endif %}\n  B",
    "x  {% if yes %}A{% endif %}  y",
    "x  {%- if yes -%}  A  {%- endif -%}  y",
    "x\n  {%+ if yes %}A{% endif %}\ny",
    "x\n  {%+ if yes +%}\nA{% endif +%}\ny",
    "x  {{- n -}}  y",
    "x\n{{ n }}\ny\n",
    "x\n  {{+ n }}\ny\n",
    "{{-1}}",
    "\n\n{% if yes %}\n\nA\n\n{% endif %}\n\n",
    "a{% if yes %} \n b{% endif %}",
    "{% set x = 1 %}\n{% set y = 2 %}\n{{ x + y }}",
    "\t{% set x = 1 %}\t\n{{ x }}",
    "\u00a0{% set x = 1 %}\u00a0\n{{ x }}",
    "{% for x in xs %}{{ x }},{% endfor %}",
    "{% for x in xs %}\n- {{ x }}\n{% endfor %}\nend",
    "{%- for x in xs -%}\n  {{ x }}\n{%- endfor -%}\nend",
    "{% for x in [] %}a{% else %}none{% endfor %}",
    "{% for x in xs %}{{ x }}{% else %}none{% endfor %}",
    "{% for x in missing %}a{% else %}none{% endfor %}",
    "{% for x in nil %}a{% endfor %}",
    "{% for x in 5 %}a{% endfor %}",
    "{% for c in 'aé🎌' %}[{{ c }}]{% endfor %}",
    "{% for k in d %}{{ k }}{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in d|dictsort %}{{ k }}={{ v }};{% endfor %}",
    "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in [(1, 2, 3)] %}{{ a }}{% endfor %}",
    "{% for a, b in [(1,)] %}{{ a }}{% endfor %}",
    "{% for a, b in [1] %}{{ a }}{% endfor %}",
    "{% for x in xs %}{{ loop.index }}/{{ loop.length }} {{ loop.first }} {{ loop.last }} {{ loop.revindex }} {{ loop.revindex0 }} {{ loop.index0 }}\n{% endfor %}",
    "{% for x in xs %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}",
    "{% for x in xs %}{% if loop.previtem is defined %}p{% endif %}{% if loop.nextitem is defined %}n{% endif %};{% endfor %}",
    "{% for x in xs %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for x in [1, 1, 2, 2, 1] %}{{ loop.changed(x) }} {% endfor %}",
    "{% for x in xs if x > 1 %}{{ x }}{{ loop.index }}{% if not loop.last %},{% endif %}{% endfor %}",
    "{% for x in xs if x > 1 %}{{ loop.length }}{% endfor %}",
    "{% for x in xs if x > 5 %}a{% else %}none{% endfor %}",
    "{% set ns = namespace(f=false) %}{% for x in [1, 2, 3] if not ns.f %}{{ x }}{% if x == 2 %}{% set ns.f = true %}{% endif %}{% endfor %}",
    "{% for x in xs %}{% for y in xs %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}",
    "{% for x in xs %}{% set outer = loop %}{% for y in xs %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}",
    "{% for x in xs|map('string') %}{{ x }}{{ loop.last }}{{ loop.length }} {% endfor %}",
    "{% for x in range(10) %}{% if x == 3 %}{% continue %}{% endif %}{% if x == 6 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in xs %}{% break %}{% else %}E{% endfor %}",
    "{% for x in xs %}{% continue %}{% else %}E{% endfor %}",
    "{% for x in xs %}{% for y in xs %}{% if y == 1 %}{% break %}{% endif %}{{ x }}{{ y }} {% endfor %}{% endfor %}",
    "{% for x in xs %}{% set c %}a{% if x == 1 %}{% break %}{% endif %}b{% endset %}{{ c }}{{ x }}{% endfor %}",
    "{% for x in xs %}{% with y = x %}{% if y == 1 %}{% continue %}{% endif %}{{ y }}{% endwith %}{% endfor %}",
    "{% break %}",
    "{% for x in tree recursive %}{{ x.v }}{% if x.kids %}({{ loop(x.kids) }}){% endif %}{{ loop.depth }}{% endfor %}",
    "{% for x in tree recursive %}[{{ loop.depth0 }}:{{ loop.index }}{{ loop.last }}{{ loop(x.kids) }}]{% else %}-{% endfor %}",
    "{% for x in xs %}{{ loop(xs) }}{% endfor %}",
    "{% for x in xs %}{% set y = x %}{% endfor %}{{ y }}",
    "{% set y = 0 %}{% for x in xs %}{% set y = y + x %}{{ y }} {% endfor %}{{ y }}",
    "{% set ns = namespace(t=0) %}{% for x in xs %}{% set ns.t = ns.t + x %}{% endfor %}{{ ns.t }}",
    "{% set ns = namespace() %}{{ ns.x }}{% set ns.x = [1] %}{{ ns.x }}",
    "{% set d.x = 1 %}",
    "{% set missing.x = 1 %}",
    "{% set ns = namespace() %}{% set ns._x = 1 %}",
    "{% if yes %}{% set z = 1 %}{% endif %}{{ z }}",
    "{% if no %}{% set n = 1 %}{% endif %}{{ n }}",
    "{{ n }}{% set n = 1 %}{{ n }}",
    "{% for x in xs %}{{ n }}{% set n = x %}{% endfor %}{{ n }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set (a, b) = [1, 2] %}{{ a }}{{ b }}",
    "{% set a, b = [1] %}",
    "{% set a = 1, 2 %}{{ a }}",
    "{% set a %}  block {{ n }}\n{% endset %}[{{ a }}]",
    "{% set a | upper | trim %}  block {{ n }}\n{% endset %}[{{ a }}]",
    "{% set true = 1 %}",
    "{% set 1 = 1 %}",
    "{% set loop = 1 %}{{ loop }}",
    "{% for x in xs %}{% set loop = 1 %}{% endfor %}",
    "{% for loop in xs %}{% endfor %}",
    "{% macro m(a, b=2) %}[{{ a }}{{ b }}]{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=5, a=4) }}{{ m() }}",
    "{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}{{ m(1) }}",
    "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{% endmacro %}{{ m(c=2) }}",
    "{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x=4) }}",
    "{% macro m(a, a2=a) %}{{ a2 }}{% endmacro %}{{ m(7) }}",
    "{% macro m(n) %}{{ n }}{% if n > 0 %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(5) }}",
    "{% macro m() %}{{ late }}{% endmacro %}{% set late = 'ok' %}{{ m() }}",
    "{% macro m() %}{% set q = 1 %}{% endmacro %}{{ m() }}{{ q }}",
    "{% for x in xs %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% for x in xs %}{{ m(x) }}{% endfor %}{% macro m(x) %}{% endmacro %}",
    "{% macro m(a, b=1, c) %}{% endmacro %}",
    "{% macro m() %}\n  x\n{% endmacro %}\n[{{ m() }}]",
    "{% macro m() -%}\n  x\n{%- endmacro %}\n[{{ m() }}]",
    "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}body{{ n }}{% endcall %}",
    "{% macro m(xs) %}{% for x in xs %}<{{ caller(x) }}>{% endfor %}{% endmacro %}{% call(y) m(xs) %}{{ y * 2 }}{% endcall %}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}",
    "{% macro m(caller=none) %}{{ caller is none }}{% endmacro %}{{ m() }}",
    "{% macro m(caller) %}{{ caller }}{% endmacro %}{{ m() }}",
    "{% call 1 %}{% endcall %}",
    "{% macro m() %}{% endmacro %}{{ m.name }}{{ m.arguments }}{{ m.catch_kwargs }}",
    "{% macro m(a, *b) %}{% endmacro %}",
    "{% macro f(a, b) %}{{ a }}-{{ b }}{% endmacro %}{{ f(*[1, 2]) }}{{ f(**{'a': 3, 'b': 4}) }}{{ f(1, *[2]) }}",
    "{% macro f(a) %}{% endmacro %}{{ f(1, a=2) }}",
    "{% filter upper %}abc {{ s }}{% endfilter %}",
    "{% filter replace('a', 'b')|upper %}banana{% endfilter %}",
    "{% filter nosuch %}x{% endfilter %}",
    "{% filter length %}abc{% endfilter %}",
    "{% set a | length %}abc{% endset %}{{ a + 1 }}",
    "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}",
    "{% set a = 5 %}{% with a = 1, b = a %}{{ b }}{% endwith %}",
    "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}",
    "{% generation %}text {{ n }}{% endgeneration %}!",
    "{%- generation -%}\n x {%- endgeneration -%} \n!",
    "{% print 1, 'a' %}",
    "{% block b %}in {{ n }}{% endblock %}",
    "{% if no %}a{% elif yes %}b{% else %}c{% endif %}",
    "{% if no %}a{% elif no %}b{% else %}c{% endif %}",
    "{% if [] %}a{% endif %}{% if [0] %}b{% endif %}{% if '' %}c{% endif %}{% if 0.0 %}d{% endif %}{% if {} %}e{% endif %}{% if missing %}f{% endif %}",
    "{% if 1 in xs and 's' is string %}ok{% endif %}",
    "{% if yes %}",
    "{% endif %}",
    "{% if yes %}{% endfor %}",
    "{% for x in xs %}{% else %}{% else %}{% endfor %}",
    "{% nosuch %}",
    "{% do xs.append(1) %}",
    "{% include 'x' %}",
    "{% import 'x' as y %}",
    "{% extends 'x' %}",
    "{% from 'x' import y %}",
    "{% %}",
    "{{ }}",
    "{{",
    "{%",
    "{% if %}{% endif %}",
    "{% for in xs %}{% endfor %}",
    "{% for x xs %}{% endfor %}",
    "{% if yes: %}a{% endif %}",
    "{% if no %}{{ x|nosuch }}{% endif %}ok",
    "{% if yes %}{{ 1|nosuch }}{% endif %}",
    "{{ (1|nosuch) if no else 2 }}",
    "{% if no %}{% for x in xs %}{{ x|nosuch }}{% endfor %}{% endif %}",
    "{% set g = xs|map('string') %}{{ g|join }}{{ g|join }}",
    "{% set c = cycler('a', 'b', 'c') %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.next() }}",
    "{% set j = joiner(' | ') %}{% for x in xs %}{{ j() }}{{ x }}{% endfor %}",
    "{%- set ns = namespace(found=false, last=none) -%}\n{%- for m in messages -%}\n  {%- if m.role == 'user' -%}{%- set ns.found = true -%}{%- set ns.last = loop.index0 -%}{%- endif -%}\n{%- endfor -%}\n{{ ns.found }} {{ ns.last }}",
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] | trim + eos_token + '\\n' }}{% endfor %}{% if true %}{{ '<|assistant|>\\n' }}{% endif %}",
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}{% endfor %}",
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set sys = messages[0]['content'] %}{% endif %}{{ sys }}{{ loop_messages|length }}",
    "{% set tools = none %}{% if tools is not none and tools|length > 0 %}T{% else %}N{% endif %}",
    "{% set content = messages[1].content %}{% if content is string %}S{% elif content is iterable %}I{% endif %}",
    "{% for m in messages[::-1] %}{{ m.role }} {% endfor %}",
    "{% for m in messages %}{% if m.tool_calls is defined and m.tool_calls %}{% for c in m.tool_calls %}{{ c.arguments|tojson }}{% for k, v in c.arguments|items %}<{{ k }}>{{ v if v is string else v|tojson }}{% endfor %}{% endfor %}{% endif %}{% endfor %}",
    "{{ 'a' }}\n\n{{ 'b' }}\n",
    "{{ 'a'\n~ 'b' }}",
    "{{ {'a': {'b': 1}}}}",
    "{{ {'a': {'b': 1}}.a.b }}{{'}}'}}",
    "{{ xs[0] }}{# c #}{{ xs[1] -}}   \n  z",
    "a {% if yes -%} b {%- endif %} c",
    "line1\n{%- if yes %}\nline2\n{%- endif %}\nline3",
    "{% for a in xs -%}\n    {{ a }}\n{%- endfor %}",
    "   {{- 'x' }}   {% set a = 1 -%}   y",
    "x{# a\nb #}y\n{# c #}\nz",
    "{% set x = {'a': 1} %}{% for k in x %}{{ k }}{{ x[k] }}{% endfor %}",
    "{{ loop }}{% for x in [1] %}{{ loop.nosuch }}{% endfor %}",
    "{% set xs = xs + [9] %}{{ xs }}",
    "{% set s = s ~ '!' %}{{ s }}",
    "{{ {'a': 1, **d} }}",
    "{{ s[1:][::-1][:3] }}",
    "{{ '%s' % undefined_x }}",
    "{{ ns.a.b }}",
    "{% set ns = namespace(a=namespace(b=1)) %}{{ ns.a.b }}{% set ns.a.b = 2 %}",
    "{% for x in 'ab' %}{% for y in 'cd' %}{{ loop.index }}{{ x }}{{ y }}{{ ' ' if not loop.last }}{% endfor %}{% endfor %}",
    "{% if not loop is defined %}u{% endif %}",
    "{{ [1,2,3,] }}{{ (1,2,) }}{{ {'a':1,} }}{{ range(3,)|list }}",
    "{%if yes%}a{%endif%}{%for x in xs%}{{x}}{%endfor%}",
    "{{s|default('x')|upper|replace('L','1')}}",
    "{{ 'x' if yes }}{{ 'y' if no }}",
    "{{ s is defined and s }}",
    "{{ [x, y]|join if no else 'z' }}",
]


class Generation(jinja2.ext.Extension):
    """The tag with which templates mark what the model has said: here it marks nothing."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    def _mark(self, caller):
        return caller()


class Namespace(jinja2.utils.Namespace):
    def __init__(*args, **kwargs):
        self, args = args[0], args[1:]
        attributes = dict(*args, **kwargs)
        for name in attributes:
            Namespace.check(name)
        jinja2.utils.Namespace.__init__(self, attributes)

    def __setitem__(self, name, value):
        Namespace.check(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)

    @staticmethod
    def check(name):
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(name)


class Dictionary:
    def __call__(self, *args, **kwargs):
        return dict(*args, **kwargs)

    def fromkeys(self, *args, **kwargs):
        return dict.fromkeys(*args, **kwargs)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    result = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    result.filters["tojson"] = tojson
    result.globals["raise_exception"] = raise_exception
    result.globals["strftime_now"] = NOW.strftime
    result.globals["dict"] = Dictionary()
    result.globals["namespace"] = Namespace
    return result


def main():
    jinja = environment()
    cases = []
    expressions = [line for line in EXPRESSIONS.replace("'line\\\njoined'", "'line\\\r'").split("\n") if line]
    expressions = [line if line != "'line\\\r'" else "'line\\\njoined'" for line in expressions if line != "joined'"]
    for template in ["{{ " + line + " }}" for line in expressions] + TEMPLATES:
        try:
            cases.append({"template": template, "output": jinja.from_string(template).render(**CONTEXT)})
        except Exception as problem:  # Jinja2 lets Python's own errors through, a SyntaxError of the compiler included.
            cases.append({"template": template, "error": type(problem).__name__ + ": " + str(problem)[:200]})
    folder = pathlib.Path(__file__).resolve().parents[2] / "testdata" / "templates"
    folder.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    text = '{"now": "%s",\n"context": %s,\n"cases": [\n%s\n]}\n' % (NOW.isoformat(), json.dumps(CONTEXT, ensure_ascii=False), lines)
    file = folder / "cases.json"
    file.write_text(text)
    manifest.record({file: {"writer": f"jinja2 {jinja2.__version__}"}}, replacing="templates/")
    print(len(cases), "cases,", sum("error" in case for case in cases), "errors")


if __name__ == "__main__":
    main()
