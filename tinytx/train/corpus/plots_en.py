"""What happens in the English stories: the steps of the seven plots."""

PLOTS = """
lost:
  3 One {dayp} {his} {adj} {col} {prize=it} was gone.
  3 "Where is my {adj} {col} {prize=it}?" {asked} {hero.name}[1/2  {adv}].
  2 But {he} lost {his} {col} {prize=it} {near} {the_place}.
  2 Oh no! {hero.His} {kin}'s {adj} {col} {prize=it} was missing.
search:
  3 {H} looked {adv} under {bunch} and {object}.
  3 {H} asked {critter_}, {worker} and all of {Town}.
  2 {H} searched {the_place}, {the_spot} and {object}.
  2 {hero.His} bag held {bunch}, {object} and {food_a}, but no {prize.it}.
lost_ask:
  3 "Is that my {prize.it}?" {asked} {hero.name}[1/2  {adv}].
  2 "My {prize.it} fell {past} {the_place}," {tag} {hero.name}.
  2 "{excl}! I need my {prize.it} by {weekday}," {tag} {hero.name}.
  2 "You look {feel}," {tag} {pal}[1/2  {adv}].
lost_turn:
  3 "Look {near} {the_spot}," {tag} {pal}[1/2  {adv}].
  3 "{A_mood} {fur} {critter} took it to {the_place}!" {tag} {pal}.
  2 {Pal} {went} {adv} {past} {the_place}, and {hero.name} {went} too.
  2 {Pal} sniffed: {smell}, {food_b}, {food_a} and {prize.it}!
found:
  3 And there it was, {near} {object} and {bunch}!
  3 There {did} {critter_}, and beside it lay the {prize.it}.
  2 {H} found it {near} {the_spot}, {adj} and {adj}.
  2 "{excl}!" {tag} {hero.name}. It was in {object}.
thanks:
  3 {H} gave {pal} {bunch} and {food_b}.
  3 {H} thanked {pal} {adv} and gave it {object}.
  2 "Thank you, {mood} friend," {tag} {hero.name}[1/2  {adv}].
cook:
  3 {H} wanted to make {food_a} with {food_b} for {his} {mood} {kin}.
  3 {hero.His} {kin} was {woe}, so {he} wanted to cook {food_a} by {clock}.
  2 {hero.His} {kin} had no {food_a}, only {food_b} and {object}.
  2 "Please make {food_a} by {weekday}," {tag} {his} {mood} {kin}.
shopping:
  3 {H} needed {bunch}, {food_a}, {food_b} and {object}.
  3 {H} {went} {past} {the_place} to buy {food_b} and {bunch}.
  2 In {Town} {he} got {food_a} for {price} coins and {food_b} for {price}.
cook_ask:
  3 "Do you have {food_b}?" {asked} {hero.name}[1/2  {adv}].
  3 "I want {food_a}," {tag} {pal}, "and {food_b}!"
  2 "{price} coins for {food_b}," {tag} {pal}[1/2  {adv}].
cook_turn:
  3 {Pal} traded {food_b} for {object}.
  3 But the {food_b} fell {near} {the_spot}, and {pal} ate it {adv}.
  2 {hero.name} stirred {price} times, added {food_b} and sang: "{spell}"
  2 Then the {adj} pot fell. {Cap_sound}! {Cap_sound}! {Pal} {laughed}.
cooked:
  3 It smelled of {smell} and {food_b}, and {his} {kin} {did}.
  3 They ate {food_a} and {food_b} {adv} and sang: "{spell}"
  2 {A_mood} {fur} {critter}, {critter_} and {worker} came to eat too.
stuck:
  3 {Cap_near} {the_spot} {pal_} was stuck in {object}.
  3 {Cap_near} {the_place} {pal_} {did} under {object}, stuck.
  2 "Help!" {tag} {pal_}, caught in {a_adj} {col} net.
  2 {H} heard {pal_} {near} {the_place}. "Help!"
stuck_ask:
  3 "{excl}! Are you {woe}?" {asked} {hero.name}[1/2  {adv}].
  3 "I wanted {food_b}, and now I am {feel}," {tag} {pal}.
  2 "I have been here since {weekday}," {tag} {pal}[1/2  {adv}].
rescue:
  3 {hero.name} pulled {adv} with {object}. Nothing moved.
  3 {hero.name} tried {tool}, {object} and {bunch}.
  2 {hero.name} called {critter_} and said: "{spell}"
rescued:
  3 {Cap_sound}! Out came {pal}, {feel} and {mood}.
  3 They sang "{spell}" and {adv} {pal} came out.
  2 Then {hero.name} used {tool} and {food_a}. {Cap_sound}! It worked.
gift:
  3 {Pal} gave {hero.him} {prize_} and {bunch}.
  3 "Take my {adj} {col} {prize=it}," {tag} {pal}[1/2  {adv}].
  2 {Pal} had no {prize=it}, so it gave {hero.him} {food_b} and {object}.
map_found:
  3 Under {object} {he} found {a_adj} map.
  3 {A_mood} {fur} {critter} brought {hero.him} {a_adj} letter with {bunch} on it.
  2 In {his} {kin}'s {adj} {col} {clothes} there was a map.
map_says:
  3 It said: "{many} steps {way}, {price} {way}, then {past} {the_spot}."
  3 It said: "Go {way} from {the_place} to {the_spot}."
  2 It showed {site}, {a_spot} and the words "{spell}"
map_ask:
  3 "Where is {the_spot}?" {asked} {hero.name}[1/2  {adv}].
  3 "Go {many} steps {way} and mind the {fur} {critter}," {tag} {pal}.
  2 "A map! I will bring {food_a} and {object}," {tag} {pal}.
dig:
  3 They dug {near} {the_spot} until {clock} with {object}.
  3 They said the secret words, "{spell}" and dug up {object}.
  2 First they found {object}, then {bunch}. {Cap_sound}!
map_prize:
  3 At last, {adj} and {adj}, there was {prize_}!
  3 In {a_adj} {col} box {did} {critter_} with {prize_}.
  2 The treasure was {prize_} and a note: "{remark}"
fair:
  3 On {weekday} there was {a_race} contest in {Town} at {clock}.
  3 {H} wanted to win the {race} contest in {month}.
  2 "Come to the {race} contest!" {tag} {worker}. "Win {object}!"
practice:
  3 {H} practised until {clock} with {object} and {bunch}.
  3 Every {dayp} {he} {went} {price} times {past} {the_spot}.
  2 {hero.His} {kin} helped with {food_a}, {tool} and {object}.
boast:
  3 "I am {mood} and {mood}," {tag} {pal}. "I will win!"
  3 "I won {price} races in {Town}!" {tag} {pal}[1/2  {adv}].
  2 "You are too {feel} to win," {tag} {pal} {adv}.
contest:
  3 {Cap_sound}! Off they {went}, {past} {the_place} and {the_spot}.
  3 {Pal} {went} {adv}. {hero.name} {went} {adv}.
  2 {A_mood} {fur} {job} sang: "{spell}"
contest_turn:
  3 But {pal} fell over {object}, and {hero.name} stopped to help.
  3 Then {critter_} {did} on the {pal.it}'s {adj} {col} {clothes}. {Cap_sound}!
  2 Halfway, {pal} was {feel}, so {hero.name} shared {food_b}.
award:
  3 They came in last but won {prize_} for being {mood}.
  3 {hero.name} won {prize_}, and {pal} won {bunch}.
  2 The {mood} {fur} {job} gave them both {food_b} and {prize_}.
invent:
  3 {H} wanted to build {a_machine} from {object}.
  3 "I will make {a_adj} {machine}," {tag} {hero.name} one {dayp}.
  2 {hero.His} {kin} needed {a_machine} by {weekday}.
parts:
  3 {H} took {object}, {bunch}, {tool} and {object}.
  3 {H} found {bunch} {near} {the_spot} and {tool} {near} {the_place}.
  2 {hero.His} {kin} gave {hero.him} {tool}, {object} and {food_a}.
invent_ask:
  3 "What is it? {A_adj} {col} {thing}?" {asked} {pal}.
  3 "It needs {tool} and {price} more {smalls}," {tag} {pal}[1/2  {adv}].
  2 "May I help? I have {object}," {tag} {pal}.
first_try:
  3 {Cap_sound}! {Cap_sound}! It {went} {past} {the_spot}.
  3 It {went} {adv} {past} {the_place} and lost {bunch}.
  2 It {did} {adv}, smelled of {smell} and stopped. {Cap_sound}!
fix:
  3 {Pal} added {tool} and said: "{spell}"
  3 {hero.name} was {woe}, but {pal} found {bunch} and {tool}.
  2 "More {tool}!" {tag} {pal}. "And no {food_b}!"
second_try:
  3 This time it {went} {adv} {past} {the_place}.
  3 {Cap_sound}! It worked, and {critter_} {did} on top.
  2 It {did} like {critter_}, and {hero.name} {laughed} {adv}.
noise:
  3 That {dayp} there was a noise {near} {the_spot}: {Cap_sound}, {sound}!
  3 Something in {the_place} sang: "{spell}"
  2 At {clock} {a_adj} {col} {thing} fell. {Cap_sound}!
afraid:
  3 "Is it {critter_}?" {asked} {hero.name}. "Is it {object}?"
  3 {H} was {woe} and hid behind {object}.
  2 {hero.His} {kin} {did}, so {he} took {object} and {bunch}.
creep:
  3 {Cap_adv}, {adv}, {he} {went} {past} {the_spot}.
  3 {H} {went} {price} steps and stopped {near} {the_spot}.
  2 {H} put on {a_adj} {col} {clothes} and {went} out {adv}.
noise_meet:
  3 It was only {pal_} with {object}.
  3 There {did} {pal_}, {feel} and {mood}.
  2 Two eyes shone: {pal_} was eating {food_b}.
noise_why:
  3 "I was {hobby}," {tag} {pal}, "and I fell over {object}."
  3 "I lost {bunch} {near} {the_place}," {tag} {pal}.
  2 "I come from {Town} and I am {feel}," {tag} {pal}.
noise_end:
  3 {hero.name} gave it {food_b}, {food_a} and {a_adj} {col} {clothes}.
  3 So they looked {adv} and found {bunch} and {object}.
  2 Then they {did} {near} {the_spot} and sang: "{spell}"
"""
