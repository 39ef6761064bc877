"""English words of the built-in corpus: data, in tiers `common / usual / rare`."""

from __future__ import annotations

from tinytx.train.corpus.grammar import Table
from tinytx.train.corpus.templates import Weighted, read_words

GIRLS = "Nora Lily / Ruby Mia / Zoe"
BOYS = "Tom Leo / Max Sam / Otis"
PALS = "fox cat dog owl duck / bear mouse frog hen goat / crow pony rabbit turtle"
PRIZES = "key drum bell book kite / hat map lamp / flute clock"

WORDS = {
    "mood": """happy brave kind shy quiet merry funny proud calm wise bold clever gentle sleepy
        curious tidy polite / silly jolly busy sly loyal noble warm timid honest lively eager
        plump nimble dreamy chatty hungry patient cheerful playful careful / lazy vain fussy
        moody rude grumpy humble nervous modest lonely restless dizzy witty stern cosy prim
        stubborn thoughtful""",
    "fur": """old young red grey brown white black tiny little / fat thin tall small spotted
        striped golden woolly one-eyed / wet muddy pale freckled shaggy long-legged""",
    "feel": """happy sad tired cold hungry glad worried lost / proud scared thirsty surprised
        puzzled cross bored lonely / sleepy warm""",
    "woe": "sad tired cold / worried lost scared / bored lonely puzzled",
    "glad": "happy glad proud / warm merry / calm dry",
    "adj": """old big small new tiny odd wet soft long heavy shiny pretty light fine flat thin
        bent dry / muddy dusty rusty broken cracked empty smooth sticky clean warm wide deep
        short loud neat dull sharp ripe cool dark bare low bright quiet fresh sour / elegant
        rough tame plain curly fuzzy noisy magic lucky secret hollow patched crooked tangled
        faded used oily lumpy spare dented wobbly""",
    "col": """red blue green round black yellow white golden silver pink brown wooden / grey
        purple tin paper glass stone clay wool copper striped orange square iron silk / bamboo
        velvet speckled spotted checked leather rubber crimson felt birch brass oak pearl
        violet amber lilac ivory turquoise""",
    "thing": """cup bell book hat rope pen jar box ball pot cart chair lamp drum boat bag plate
        map mug doll / boot tent rug coin cap key shoe sock fan flag ladder net leaf nest saw
        wheel stool table / bottle letter horn door comb badge sled bow harp kettle vase jug mop
        mat lid tub""",
    "smalls": """nuts keys bells shells cups stones buttons pears eggs coins stars / birds ants
        leaves hats pens beads feathers apples spoons pins candles / marbles socks ducks flowers
        bees figs mats plums gems owls""",
    "num": "two three four five six / seven ten / eight nine",
    "place": """mill lake river wood bridge market square barn garden hill harbour school bakery
        island farm inn / cave tower beach meadow orchard village castle park valley station
        field bay pier hut sea town / swamp temple zoo shop camp forge theatre cliff fort lane
        library hall""",
    "padj": """old dark quiet green little big long empty narrow sunny wide cold / windy foggy
        muddy busy high deep lonely sleepy pretty rocky mossy dusty / crooked shady famous
        secret silent steep snowy distant gloomy leafy crowded damp noisy""",
    "padj2": """stone red white grey royal wild / blue brick upper lower north south / gold
        mountain family summer""",
    "spot": """gate fence tree bench well hedge statue boulder door wall / stile haystack willow
        pine puddle ditch beehive stump wagon arch oak tent / signpost scarecrow sundial bush
        log trough flagpole elm ivy shed kennel rosebush""",
    "critter": """bee crab snail moth spider worm gull hawk / wren jay finch ant dove newt bat
        magpie / trout stork shrimp cricket""",
    "did": """sang slept danced hid sat played / hummed dozed jumped waited yawned ate /
        sneezed sulked snored giggled rested whistled""",
    "went": """walked ran hurried skipped hopped strolled crept rode / marched raced wandered
        tiptoed jogged trotted danced rushed / limped dashed cycled drifted stomped sped
        rambled shuffled plodded slipped""",
    "adv": """slowly quickly quietly happily softly bravely gladly calmly gently shyly wisely
        boldly / proudly sadly kindly loudly warmly sleepily merrily politely lazily eagerly
        neatly firmly lightly / wearily briskly grandly nervously solemnly stiffly dreamily
        swiftly sweetly humbly nobly""",
    "past": "past to around through / behind across over along / beyond",
    "near": "by near beside behind / under above inside / opposite",
    "saw": "saw found / counted spotted",
    "loved": "loved liked / adored enjoyed",
    "food_a": """bread soup cheese rice eggs corn beans peas fish / toast noodles potatoes kale
        butter onions carrots / salad tomatoes pies""",
    "food_b": """jam honey cake pears apples milk plums nuts / figs grapes cherries tea cocoa
        pancakes cookies berries / juice waffles melon muffins syrup""",
    "smell": "rain smoke salt / bread mint pine / hay wool mud",
    "job": """baker farmer sailor teacher painter singer / gardener tailor miller doctor / poet
        pilot""",
    "dayadj": "mild rainy cold windy warm grey / foggy fine snowy lovely / stormy quiet",
    "dayp": "morning day evening night / afternoon",
    "month": "May June April / March October July",
    "weekday": "Monday Sunday Friday Saturday / Tuesday Thursday Wednesday",
    "kin": """mother father sister brother aunt uncle / granny grandpa cousin teacher /
        neighbour nephew niece""",
    "hobby": "singing dancing painting / fishing climbing sewing / rowing skating",
    "skill": "swim cook / dance sing",
    "clothes": "hat coat scarf shirt / cap jacket cloak / apron sweater belt",
    "excl": "Oh Hello Well Goodness / Ah Look Hm Hooray / Wow Oops",
    "tag": """said cried whispered called / sighed replied shouted / muttered sang mumbled
        yelled""",
    "asked": "asked cried wondered / whispered / called",
    "sound": "Tap Bang Crash Boom Click / Thud Splash Creak Plop / Ding Pop Swish",
    "tool": "rope glue string nails / tape paint wire / wax clay",
    "machine": "kite raft / clock / robot",
    "race": "dance song / cake / boat kite",
    "sky": "blue grey / pink dark",
    "wx": "Rain Mist Snow",
    "fell": "fell drifted / danced",
    "cough": "cough laugh / sneeze song",
    "laughed": "laughed smiled / nodded / blinked",
    "way": "north south east west",
    "cons": "l m n r t / b d s / v w",
    "vowel": "a o i / e u",
    "digit": "1 2 3 4 5 6 7 8 9 / 0",
    "digit1": "1 2 3 4 5 6 7 8 9",
    "hour": "7: 8: 9: 10: 6: 5: / 11: 12: 4: 3: 2: 1:",
    "tens": "0 3 / 1 2 4 5",
}

_VOWEL_SOUND = ("a", "e", "i", "o", "u", "honest")
_CONSONANT_SOUND = ("used", "one")


def word_classes() -> dict[str, Weighted]:
    """Return each class, and three made from it: a_x "an owl", A_x "An owl", Cap_x "Owl"."""
    classes: dict[str, Weighted] = {}
    for name, source in WORDS.items():
        words = classes[name] = read_words(source)
        with_article = tuple((weight, article(word)) for weight, word in words)
        classes[f"a_{name}"] = with_article
        classes[f"A_{name}"] = tuple((w, word[0].upper() + word[1:]) for w, word in with_article)
        classes[f"Cap_{name}"] = tuple((w, word[0].upper() + word[1:]) for w, word in words)
    return classes


def article(word: str) -> str:
    """Return `word` after its indefinite article."""
    vowel = word.startswith(_VOWEL_SOUND) and not word.startswith(_CONSONANT_SOUND)
    return f"{'an' if vowel else 'a'} {word}"


def tables() -> dict[str, Table]:
    """Return the variables: the hero with pronouns, the animal met, the thing that matters."""
    girls = [(weight, name, "girl", "she", "her", "her") for weight, name in read_words(GIRLS)]
    boys = [(weight, name, "boy", "he", "his", "him") for weight, name in read_words(BOYS)]
    heroes = tuple(
        (
            weight,
            {
                "name": name,
                "kid": f"{kind} named {name}",
                "he": he,
                "He": he.capitalize(),
                "his": his,
                "His": his.capitalize(),
                "him": him,
            },
        )
        for weight, name, kind, he, his, him in girls + boys
    )
    return {
        "hero": heroes,
        "pal": tuple((weight, {"it": noun}) for weight, noun in read_words(PALS)),
        "prize": tuple((weight, {"it": noun}) for weight, noun in read_words(PRIZES)),
    }
