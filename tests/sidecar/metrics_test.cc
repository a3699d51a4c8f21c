// SPDX-License-Identifier: Apache-2.0
#include "sidecar/metrics.h"

#include "tests/sidecar/page_fixture.h"

namespace envdial::sidecar {
namespace {

using MetricsTest = PageFixture;

void ExpectLine(const std::string& page, const std::string& line) {
  EXPECT_NE(("\n" + page).find("\n" + line + "\n"), std::string::npos) << line;
}

TEST_F(MetricsTest, EverySeriesIsThereBeforeAnythingHappened) {
  const std::string page = MetricsText(MakeView());
  for (const char* line : {
           "envdial_state{state=\"not_ready\"} 1",
           "envdial_state{state=\"ready\"} 0",
           "envdial_source_connected{group=\"hunt/\"} 0",
           "envdial_source_last_success_timestamp_seconds{group=\"hunt/\",source=\"consul\"} 0",
           "envdial_consul_polls_total{group=\"hunt/\",result=\"changed\"} 0",
           "envdial_consul_polls_total{group=\"hunt/\",result=\"malformed\"} 0",
           "envdial_consul_index_resets_total{group=\"hunt/\",reason=\"restored\"} 0",
           "envdial_mass_deletions_held_total{group=\"hunt/\"} 0",
           "envdial_snapshot_version 0",
           "envdial_dial_value{dial=\"MAX\"} Nan",
           "envdial_dial_origin{dial=\"MAX\",origin=\"stale\"} 0",
           "envdial_dial_stale_after_seconds{dial=\"MAX\"} 30",
           "envdial_dial_rejected{dial=\"MAX\"} 0",
           "envdial_dial_rejections_total{dial=\"MAX\",reason=\"clamped\"} 0",
           "envdial_deliveries_total{channel=\"env_file\"} 0",
           "envdial_delivery_failures_total{channel=\"control\"} 0",
           "envdial_delivery_duration_seconds_count{channel=\"env_file\"} 0",
           "envdial_credential_files_failing 0",
           "envdial_fallback_save_failures_total 0",
           "envdial_fallback_recoveries_total{from=\"none\"} 1",
           "envdial_control_clients 7",
       }) {
    ExpectLine(page, line);
  }
}

TEST_F(MetricsTest, TellsTheTruthAfterAnAnswer) {
  Answer();
  channels_[0].NoteDelivered(1, now_, std::chrono::microseconds(300));
  const std::string page = MetricsText(MakeView());
  ExpectLine(page, "envdial_state{state=\"ready\"} 1");
  ExpectLine(page, "envdial_source_last_success_timestamp_seconds{group=\"hunt/\",source=\"consul\"} 1800000000");
  ExpectLine(page, "envdial_dial_value{dial=\"MAX\"} 600");
  ExpectLine(page, "envdial_dial_value{dial=\"WAIT\"} 90");
  ExpectLine(page, "envdial_dial_origin{dial=\"MAX\",origin=\"consul\"} 1");
  ExpectLine(page, "envdial_dial_rejected{dial=\"MAX\"} 1");
  ExpectLine(page, "envdial_dial_rejections_total{dial=\"MAX\",reason=\"max\"} 1");
  ExpectLine(page, "envdial_delivery_duration_seconds_bucket{channel=\"env_file\",le=\"0.00025\"} 0");
  ExpectLine(page, "envdial_delivery_duration_seconds_bucket{channel=\"env_file\",le=\"0.0005\"} 1");
  ExpectLine(page, "envdial_delivery_duration_seconds_bucket{channel=\"env_file\",le=\"+Inf\"} 1");
}

TEST_F(MetricsTest, HasNoValueOfASecretDial) {
  Answer();
  const std::string page = MetricsText(MakeView());
  EXPECT_EQ(page.find("hunter2"), std::string::npos);
  EXPECT_EQ(page.find("envdial_dial_value{dial=\"SECRET\"}"), std::string::npos);
}

}  // namespace
}  // namespace envdial::sidecar
