#include "data/speech/synth/domains.h"

#include "data/speech/synth/vocabulary.h"

namespace rehearse::synth {

namespace {

double between(const RandomKey& key, double low, double high) {
  return low + (high - low) * key.uniform(0);
}

double draw_snr(const RenderContext& context) {
  return between(context.key.with("snr"), context.snr.low_db, context.snr.high_db);
}

void draw_level(Samples& speech, const RenderContext& context) {
  set_level(speech, between(context.key.with("level"), -28, -20));
  limit_peak(speech, 0.95f);
}

void render_studio(Samples& speech, const RenderContext& context) {
  draw_level(speech, context);
  mix_at_snr(speech, white_noise(speech.size(), context.key.with("noise")), draw_snr(context));
}

void render_phone(Samples& speech, const RenderContext& context) {
  constexpr double kLowHz = 300, kHighHz = 3400;
  band_pass(speech, context.sample_rate_hz, kLowHz, kHighHz);
  Samples noise = white_noise(speech.size(), context.key.with("noise"));
  band_pass(noise, context.sample_rate_hz, kLowHz, kHighHz);
  mix_at_snr(speech, noise, draw_snr(context));
  draw_level(speech, context);
  mu_law(speech);
}

void render_radio(Samples& speech, const RenderContext& context) {
  band_pass(speech, context.sample_rate_hz, 100, 6000);
  set_level(speech, -20);
  compress(speech, context.sample_rate_hz, -26, 3);
  mix_at_snr(speech, music_hum(speech.size(), context.sample_rate_hz, context.key.with("music")), draw_snr(context));
  draw_level(speech, context);
}

void render_crowd(Samples& speech, const RenderContext& context) {
  constexpr int kTalkers = 5;
  mix_at_snr(speech, babble(speech.size(), *context.talkers, kTalkers, context.key.with("babble")), draw_snr(context));
  draw_level(speech, context);
}

void render_drive(Samples& speech, const RenderContext& context) {
  const RandomKey room = context.key.with("room");
  const double reverberation_s = between(room.with("time"), 0.10, 0.20);
  const double direct_to_reverb_db = between(room.with("distance"), 3, 8);
  RoomEcho::of(context.sample_rate_hz, reverberation_s, direct_to_reverb_db, room).apply(speech);
  mix_at_snr(speech, car_noise(speech.size(), context.sample_rate_hz, context.key.with("car")), draw_snr(context));
  band_pass(speech, context.sample_rate_hz, 60, 5200);
  draw_level(speech, context);
}

Grammar grammar_of(const char* rules) {
  return Grammar(std::string(kSharedRules) + rules);
}

std::vector<Domain> make_domains() {
  const std::vector<std::string> voices = {"en-us+m1", "en-gb+m1",   "en-us+m3",   "en-gb+m4", "en-us+m4",
                                           "en-gb+m7", "en-us+Alex", "en-us+paul", "en-us+f1", "en-gb+f1",
                                           "en-us+f2", "en-gb+f2",   "en-us+f4",   "en-gb+f4", "en-us+steph"};
  // Variants within the range of the training ones: neither whispered nor robotic.
  const std::vector<std::string> test_voices = {"en-us+m6", "en-gb+f3"};
  const std::vector<std::string> drivers = {"en-us+m2",      "en-gb+m2", "en-us+m8",      "en-gb+edward",
                                            "en-us+grandpa", "en-us+f5", "en-gb+belinda", "en-us+belinda"};
  const std::vector<std::string> test_drivers = {"en-us+adam", "en-gb+linda"};

  const Domain studio{.name = "studio",
                      .grammar = grammar_of(kStudioRules),
                      .codec = AudioCodec::kFlac,
                      .snr = {45, 55},
                      .voices = voices,
                      .test_voices = test_voices,
                      .render = render_studio};
  const Domain phone{.name = "phone",
                     .grammar = grammar_of(kPhoneRules),
                     .sample_rate_hz = 8000,
                     .codec = AudioCodec::kMuLawWav,
                     .snr = {15, 25},
                     .voices = voices,
                     .test_voices = test_voices,
                     .render = render_phone};
  const Domain radio{.name = "radio",
                     .grammar = grammar_of(kRadioRules),
                     .codec = AudioCodec::kVorbis,
                     .quality = 0.05,
                     .snr = {12, 20},
                     .voices = voices,
                     .test_voices = test_voices,
                     .render = render_radio};
  const Domain crowd{.name = "crowd",
                     .grammar = grammar_of(kCrowdRules),
                     .codec = AudioCodec::kWav,
                     .uses_babble = true,
                     .snr = {5, 10},
                     .voices = voices,
                     .test_voices = test_voices,
                     .render = render_crowd};
  const Domain drive{.name = "drive",
                     .grammar = grammar_of(kDriveRules),
                     .sample_rate_hz = 12000,
                     .codec = AudioCodec::kFlac,
                     .snr = {5, 15},
                     .train_seconds = 2400,
                     .voices = drivers,
                     .test_voices = test_drivers,
                     .render = render_drive};
  return {studio, phone, radio, crowd, drive};
}

}  // namespace

const std::vector<Domain>& all_domains() {
  static const std::vector<Domain> domains = make_domains();
  return domains;
}

const std::vector<std::string>& babble_voices() {
  static const std::vector<std::string> voices = {"en-us+victor", "en-gb+Michael", "en-us+david",
                                                  "en-gb+Annie",  "en-us+anika",   "en-gb+shelby"};
  return voices;
}

}  // namespace rehearse::synth
