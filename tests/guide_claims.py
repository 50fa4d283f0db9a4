"""What docs/guide.md says, sentence by sentence, and the tests that hold it; see test_guide.py.

Whoever edits the guide edits its sentence here, and names the tests that fail where it is no longer so
("file::test"). A sentence that promises nothing goes into NO_CLAIMS, one that tells of others' work into REPORTED.
"""

HELD_BY: dict[str, tuple[str, ...]] = {
    # Guide: from the first picture to an animation
    "You can build each of them with your own SDXL checkpoint and network, or with *Load Miniature*, which needs no "
    "download: it gives MODEL, CLIP, VAE and a network, and draws 128 x 128 pictures of a small painted world "
    "([docs/miniature.md](miniature.md)).": (
        "comfyui/test_guide.py::test_the_miniature_gives_all_four_and_draws_without_a_download",
        "comfyui/test_workflows.py::test_a_workflow_gives_a_picture_that_follows_both_values",
    ),
    "The pictures here are the miniature's; the templates whose names end in `_miniature` run as they are.": (
        "comfyui/test_workflows.py::test_a_miniature_workflow_makes_a_picture_from_what_the_project_brings",
    ),
    "Node names are in *italics*, inputs and outputs in **bold**.": (
        "comfyui/test_guide.py::test_every_input_and_output_it_names_is_there",
    ),
    "What each input does is in the node's help page: select the node in ComfyUI and press the **i** above it, or read "
    "[web/docs/](../web/docs/).": ("comfyui/test_workflows.py::test_help_pages_name_every_input_and_output",),
    # 1. A first picture
    "Open Templates in ComfyUI's sidebar, this pack under Extensions, and there the template "
    "`emotional_text_to_image`, or with the miniature `pad_to_picture_miniature`.": (
        "comfyui/browser/test_workflows.py::test_the_template_browser_opens_a_workflow",
        "test_guide.py::test_the_templates_it_names_are_shipped",
    ),
    "*Load Checkpoint*, and *CLIP Text Encode* with what is in the picture, without mood words;": (
        "test_guide.py::test_the_first_graph_is_that_of_the_templates",
    ),
    "*Load Emotion Network*, to **network** of *Emotional Conditioning*; the prompt to its **conditioning**;": (
        "test_guide.py::test_the_first_graph_is_that_of_the_templates",
    ),
    "the result to *KSampler*, **positive**; *VAE Decode*, *Save Image*.": (
        "test_guide.py::test_the_first_graph_is_that_of_the_templates",
    ),
    "With the miniature, *Load Miniature* stands for both loaders, and *Upscale Image By* makes its small picture "
    "large enough to look at.": ("test_guide.py::test_the_first_graph_is_that_of_the_templates",),
    "Fix the seed, drag the point on the pad, and queue again.": (
        "comfyui/browser/test_runs.py::test_a_run_from_the_page_makes_a_picture_of_the_point",
    ),
    "Valence is how pleasant, from -3 (misery) to 3 (joy); arousal how intense, from -3 (asleep) to 3 (alarmed or "
    "elated).": (
        "comfyui/test_bad_input.py::test_a_value_out_of_range_is_refused_before_anything_runs",
        "comfyui/test_miniature_abilities.py::test_named_emotions_are_read_as_what_they_are",
    ),
    "Moving the point runs *Emotional Conditioning*, the sampler and what follows; checkpoint, network and prompt stay "
    "as they are.": ("comfyui/test_nodes.py::test_moving_a_value_runs_our_node_and_what_follows_it_alone",),
    "The same values and the same seed give the same picture, to the byte.": (
        "comfyui/test_nodes.py::test_each_value_moves_the_picture_and_the_same_values_give_the_same_bytes",
    ),
    "The node library has a blueprint, “Emotional Prompt”: *CLIP Text Encode* and *Emotional Conditioning* in one "
    "node.": (
        "comfyui/browser/test_blueprint.py::test_the_server_offers_it",
        "comfyui/browser/test_blueprint.py::test_its_inside_makes_pictures_that_follow_the_emotion",
        "comfyui/browser/test_blueprint.py::"
        "test_the_interface_makes_a_node_of_it_whose_values_reach_the_prompt",
    ),
    "Without the pad, or through the API, the two values are ordinary numbers.": (
        "comfyui/browser/test_pad.py::test_without_the_script_the_node_has_its_two_sliders",
        "comfyui/test_nodes.py::test_a_node_keeps_its_id_inputs_and_outputs",
    ),
    "**Shift** while dragging snaps to named emotions; a double click goes back to 0, 0.": (
        "comfyui/browser/test_pad.py::test_shift_snaps_to_named_emotions_and_says_their_names",
        "comfyui/browser/test_pad.py::test_a_double_click_goes_back_to_the_middle",
    ),
    # 2. How much
    "**strength** scales what the emotion changes.": ("test_network.py::test_strength_scales_the_residual",),
    "0 is exactly the plain prompt, 1 is as the network was trained, and above 1 the mood is exaggerated, up to 3.": (
        "comfyui/test_nodes.py::test_strength_zero_gives_the_very_same_picture_as_no_node",
        "test_network.py::test_strength_scales_the_residual",
        "comfyui/test_bad_input.py::test_a_value_out_of_range_is_refused_before_anything_runs",
    ),
    "Valence -2.5, arousal 1.5: distress.": (
        "test_guide.py::test_what_is_said_of_its_pictures_is_how_they_are_made",
    ),
    "0, 0 on the pad is a neutral mood; it is not the plain prompt.": (
        "comfyui/test_guide.py::test_a_later_start_stays_nearer_to_the_plain_picture",
    ),
    "**arousal_gain** and **valence_gain** scale one value alone: 0 is as if that value were 0, 1 changes nothing, and "
    "above 1 it goes on past the end of the slider.": (
        "test_conditioning.py::test_a_gain_of_zero_is_the_emotion_with_that_value_at_zero",
        "test_conditioning.py::test_a_gain_goes_on_past_the_end_of_the_slider_and_leaves_the_other_axis",
        "comfyui/test_emotional_settings.py::test_neutral_settings_change_nothing",
    ),
    "On the negative prompt a second *Emotional Conditioning* works in the same way.": (
        "comfyui/test_nodes.py::test_the_negative_prompt_works_the_same_way",
    ),
    # 3. Emotions by name
    "*Emotion Preset* gives **valence** and **arousal** by name: connect its outputs to the inputs of the same name; "
    "no widget has to be converted.": ("comfyui/test_preset.py::test_a_linked_preset_is_the_point_itself",),
    "It knows 48 emotions, each with the source that says where it lies: 16 of Russell's circumplex, Plutchik's 24 "
    "words and Mikels' eight categories at the ratings of FindingEmo's pictures or of Russell.": (
        "test_guide.py::test_there_are_as_many_emotions_as_it_says",
        "test_emotions.py::test_every_label_is_its_own_and_names_its_source",
        "test_emotions.py::test_the_mean_ratings_are_those_of_findingemo",
        "test_emotions.py::test_the_three_sets_are_whole",
    ),
    "The sources disagree: sad is calm for Russell, and stirred in FindingEmo.": (
        "test_guide.py::test_the_sources_disagree_about_sadness",
    ),
    "**intensity** 0 is neutral, 1 as named, 2 twice as far from neutral in the same direction, as far as the plane "
    "goes.": (
        "test_va.py::test_intensity_one_leaves_a_point_and_zero_is_neutral",
        "test_va.py::test_intensity_moves_a_point_along_its_ray",
        "test_va.py::test_at_the_edge_the_kind_of_emotion_stays",
    ),
    "**blend_with** and **blend** mix two: 0 is the first alone, 1 the second alone, 0.5 halfway.": (
        "test_va.py::test_a_blend_lies_between_both",
        "comfyui/test_preset.py::test_a_named_point_is_scaled_and_blended",
    ),
    "Your own go into `models/emoticrafter/emotions.json` and stand first in the list.": (
        "comfyui/test_preset.py::test_own_emotions_are_listed_with_what_is_wrong_among_them",
    ),
    "A wrong entry costs itself; a file that is not JSON, because a comma is missing for example, costs all of your "
    "own.": (
        "test_emotions.py::test_a_mistake_costs_its_own_entry_and_is_told_with_its_line",
        "test_emotions.py::test_what_is_no_list_of_emotions_is_told",
    ),
    "Either is told in the list, with line and reason.": (
        "comfyui/test_preset.py::test_own_emotions_are_listed_with_what_is_wrong_among_them",
    ),
    # 4. When the mood sets in
    "**start_percent** lets the plain prompt begin: with 0.2 or 0.4 the composition stays nearer to the plain picture, "
    "and the mood colours it.": (
        "comfyui/test_guide.py::test_a_later_start_stays_nearer_to_the_plain_picture",
        "comfyui/test_emotional_settings.py::test_a_start_in_the_graph_samples_the_plain_prompt_first",
    ),
    "**end_percent** is the other way round: the emotion begins, and the plain prompt ends; the earlier, the nearer "
    "the result is to the plain picture.": (
        "comfyui/test_guide.py::test_an_earlier_end_samples_the_emotion_first_and_stays_nearer_to_the_plain_picture",
    ),
    "Valence 2.5, arousal 1.5: joy that sets in later and later, read from the right.": (
        "test_guide.py::test_what_is_said_of_its_pictures_is_how_they_are_made",
    ),
    "At every step exactly one of the two prompts counts, the plain or the emotional one.": (
        "comfyui/test_emotional_settings.py::test_at_every_step_exactly_one_of_the_two_prompts_applies",
    ),
    "From 0 to 1, as they stand at first, both change nothing.": (
        "comfyui/test_emotional_settings.py::test_neutral_settings_change_nothing",
        "comfyui/test_emotional_settings.py::test_the_settings_are_optional_and_advanced_and_come_last",
    ),
    # 5. No people where none were asked for
    "Write `person, people, man, woman, face` into **protected_words** and connect the CLIP of your prompt to "
    "**clip**: what these words change in the text is taken out of what the emotion adds, at every token.": (
        "test_conditioning.py::test_the_residual_leaves_protected_directions_alone_at_every_token",
        "comfyui/test_emotional_settings.py::test_words_are_protected_by_what_comfyuis_clip_says_of_them",
        "comfyui/test_emotional_settings.py::test_a_setting_that_cannot_be_is_refused_on_the_node",
    ),
    "The prompt itself stays as it is.": (
        "test_protection.py::test_what_is_removed_is_the_protected_part_and_nothing_else",
        "test_conditioning.py::test_the_input_is_never_changed_in_place",
    ),
    "With every word the emotion loses a little.": (
        "test_guide.py::test_with_every_protected_word_the_emotion_loses_a_little",
    ),
    # 6. One emotion, many prompts
    "*VA Encoder* makes the emotion once; any number of *Emotion Injection* nodes add it, one behind each prompt.": (
        "comfyui/test_nodes.py::test_an_emotion_serves_many_prompts",
    ),
    "The template `va_encoder_and_injection` has one of each.": (
        "test_guide.py::test_the_template_of_both_nodes_has_one_of_each",
    ),
    "Both nodes together give what *Emotional Conditioning* gives, bit for bit.": (
        "comfyui/test_nodes.py::test_the_three_node_form_equals_the_one_node_form",
    ),
    "*Valence-Arousal* shares the two numbers instead of the emotion.": (
        "comfyui/test_nodes.py::test_valence_arousal_passes_each_value_on",
    ),
    # 7. A chart of the plane
    "*Emotion Grid* makes points in rows and columns: valence rises to the right, arousal upwards.": (
        "test_va.py::test_a_grid_reads_like_a_chart",
    ),
    "One batch: a latent with batch_size 1 to **latent**, the network to **network**; **emotion** to *Emotion "
    "Injection*, **latents** to *KSampler*.": (
        "comfyui/test_grid_and_path.py::test_each_picture_of_a_batch_is_the_one_of_its_point_alone",
    ),
    "The network runs once for all 25 points of a 5 x 5 grid, and every picture starts from the same noise.": (
        "comfyui/test_grid_and_path.py::test_a_five_by_five_grid_runs_the_network_once_as_a_batch",
        "test_latents.py::test_one_latent_is_repeated_with_the_same_noise_for_all",
    ),
    "One after the other: **valences** and **arousals** to *Emotional Conditioning*.": (
        "comfyui/test_grid_and_path.py::test_each_picture_of_a_batch_is_the_one_of_its_point_alone",
    ),
    "Everything behind runs once per point, with the same seed, one picture at a time.": (
        "comfyui/test_grid_and_path.py::test_each_picture_of_a_batch_is_the_one_of_its_point_alone",
    ),
    "*Emotion Grid Image* lays the pictures out; give it the grid's **points**.": (
        "comfyui/test_read_emotion.py::test_asked_and_achieved_are_seen_together",
    ),
    "Templates: `emotion_grid_miniature`, `emotion_strip_miniature`.": (
        "test_guide.py::test_the_templates_it_names_are_shipped",
        "comfyui/test_workflows.py::test_the_grid_has_a_picture_for_each_of_its_25_points",
    ),
    "A latent whose batch is neither 1 nor the number of points is refused.": (
        "comfyui/test_grid_and_path.py::test_a_batch_of_latents_that_does_not_fit_is_refused_by_the_grid",
    ),
    "ComfyUI itself would drop or repeat emotions without a word.": (
        "comfyui/test_grid_and_path.py::test_of_a_batch_that_does_not_fit_comfyui_drops_or_repeats",
    ),
    "A strip in steps of 0.2 is a grid of 31 columns and 1 row.": (
        "test_va.py::test_steps_of_a_fifth_are_round_numbers",
        "comfyui/test_workflows.py::test_the_strip_has_31_pictures",
    ),
    # 8. Asked and achieved
    "*Read Emotion* reads valence and arousal from pictures; *Emotion Map* draws them beside what was asked for, and "
    "joins each pair with a line.": (
        "comfyui/test_read_emotion.py::test_asked_and_achieved_are_seen_together",
        "test_plane.py::test_asked_and_read_are_joined_and_their_distance_is_told",
    ),
    "Template: `asked_against_achieved_miniature`.": (
        "comfyui/test_workflows.py::test_what_was_asked_for_is_read_again_and_drawn",
    ),
    "For other pictures a file of heads in `models/emoticrafter_readers`, with the vision model that it was trained on "
    "in *Load CLIP Vision*, does the same.": (
        "comfyui/test_read_emotion.py::test_heads_read_through_the_connected_vision_model",
        "comfyui/test_read_emotion.py::test_heads_without_their_vision_model_are_refused",
    ),
    # 9. Two moods in one picture
    "*Regional Emotion* gives a mood to the white part of a mask and leaves the prompt as it is elsewhere.": (
        "comfyui/test_regional.py::test_two_moods_in_one_picture_each_in_its_place",
        "test_regions.py::test_inside_is_the_emotional_prompt_and_outside_the_plain_one",
    ),
    "Chain one per region.": ("comfyui/test_regional.py::test_two_moods_in_one_picture_each_in_its_place",),
    "Template: `two_moods_miniature`.": ("comfyui/test_workflows.py::test_each_half_has_its_own_mood",),
    "Outside of all masks the text is the plain one, to the bit; where two masks overlap, the later mood counts.": (
        "test_regions.py::test_outside_the_mask_nothing_but_the_very_same_features_counts",
        "test_regions.py::test_a_later_region_covers_an_earlier_one_and_each_costs_one_entry",
    ),
    "Strength 0, or an empty mask, gives the prompt back untouched.": (
        "test_regions.py::test_without_strength_or_mask_the_prompt_passes_untouched",
    ),
    "**feather** makes the border soft, as a part of the mask's shorter side.": (
        "test_regions.py::test_a_feather_makes_the_change_as_wide_as_it_says_and_keeps_its_middle",
    ),
    # 10. A picture that is already there
    "*VAE Encode* a picture, give the latent to *KSampler* with a **denoise** below 1, and the emotion paints it anew; "
    "with a noise mask (*Set Latent Noise Mask*) only inside the mask.": (
        "comfyui/test_workflows.py::test_img2img_keeps_the_picture_and_changes_its_mood",
        "comfyui/test_workflows.py::test_inpainting_leaves_the_other_half_as_it_was",
    ),
    "To see one picture in many moods, give its latent to **latent** of *Emotion Grid*.": (
        "comfyui/test_guide.py::test_one_picture_is_seen_in_many_moods",
    ),
    "Templates: `emotion_with_img2img_miniature`, `emotion_with_inpainting_miniature`.": (
        "test_guide.py::test_the_templates_it_names_are_shipped",
    ),
    "ControlNets and LoRAs work as always: *Emotional Conditioning* before *Apply ControlNet*, CLIP from *Load "
    "LoRA*.": ("comfyui/test_workflows.py::test_lora_and_controlnet_take_part",),
    "The templates `emotion_with_controlnet` and `emotion_with_lora` show both.": (
        "test_guide.py::test_the_templates_of_section_10_are_connected_as_it_says",
    ),
    "Areas, masks, hooks, and what other nodes wrote onto the prompt stay there.": (
        "comfyui/test_conditioning_keys.py::"
        "test_all_that_an_entry_carries_survives_and_the_prompt_itself_stays_as_it_was",
    ),
    "SDXL's refiner reads another text and takes no emotion: leave its prompts plain, as `emotion_with_refiner` "
    "does.": (
        "test_conditioning.py::test_the_text_of_another_model_is_refused_by_name",
        "test_guide.py::test_the_templates_of_section_10_are_connected_as_it_says",
        "comfyui/test_workflows.py::test_the_refiner_takes_part",
    ),
    # 11. An animation
    "*Emotion Path* goes from keyframe to keyframe.": (
        "comfyui/test_grid_and_path.py::test_a_path_goes_from_keyframe_to_keyframe_and_back",
    ),
    "A line is a position, in frames or percent, and an emotion, by name or as two numbers:": (
        "test_path.py::test_a_line_is_a_position_and_an_emotion_or_two_numbers",
    ),
    "Set **frames** to 16, **easing** to smooth and **closed** on.": (
        "test_guide.py::test_its_keyframes_make_a_loop",
    ),
    "Then, as with the grid: **emotion** through *Emotion Injection* to *KSampler*, **latents** to its "
    "**latent_image**, and the decoded pictures to *Save Animated WEBP*.": (
        "comfyui/test_guide.py::test_the_loop_becomes_an_animation",
    ),
    "Template: `emotion_path_animation_miniature`.": (
        "comfyui/test_workflows.py::test_the_animation_is_a_loop_of_24_frames_that_move_evenly",
    ),
    "A closed path flows from its last frame into its first, and doubles none.": (
        "test_path.py::test_a_closed_path_doubles_no_frame",
        "comfyui/test_workflows.py::test_the_animation_is_a_loop_of_24_frames_that_move_evenly",
    ),
    "**easing**: linear goes at an even pace, ease in-out rests at each keyframe, smooth flows through them, hold "
    "jumps.": (
        "test_path.py::test_the_easings_are_what_their_names_say",
        "test_path.py::test_smooth_flows_through_a_keyframe_where_ease_in_out_rests",
    ),
    "None overshoots.": ("test_path.py::test_between_two_keyframes_each_axis_goes_one_way",),
    "Positions that fall and names that are not known are told by line, and too few keyframes are refused, before "
    "anything is drawn.": (
        "comfyui/test_grid_and_path.py::test_keyframes_that_cannot_be_used_are_told_by_line_on_the_node",
        "test_path.py::test_too_few_keyframes_are_refused",
    ),
    "*Emotion Map* with the path's **points** shows the way at once, without a model.": (
        "comfyui/test_read_emotion.py::test_a_path_is_laid_out_as_a_strip_of_the_size_asked_for",
        "test_plane.py::test_a_route_is_drawn_on_request",
    ),
    "Take a sampler without noise of its own, such as euler: ancestral and SDE samplers flicker.": (
        "comfyui/test_guide.py::test_ancestral_and_sde_samplers_give_each_picture_noise_of_its_own",
    ),
    "Give it latents of its own, with **count** as their number.": (
        "comfyui/test_grid_and_path.py::test_count_makes_the_batch_that_fits",
    ),
    # 12. To compare: words instead of numbers
    "*Rewrite Prompt for Emotion* has a language model write the mood into the prompt, which is what people did "
    "before.": ("comfyui/test_rewrite.py::test_the_rewritten_prompt_is_encoded_and_asked_for_once",),
    "Name a server on your computer in **base_url**, such as `http://127.0.0.1:11434/v1` for Ollama, or set "
    "`EMOTICRAFTER_CHAT_URL` and `EMOTICRAFTER_CHAT_KEY` before ComfyUI starts.": (
        "test_rewriting.py::test_a_server_on_this_computer_may_be_named_and_gets_no_key",
        "test_rewriting.py::test_the_address_of_the_environment_gets_the_key",
    ),
    "Until a server is named, nothing is sent anywhere.": (
        "test_rewriting.py::test_without_any_configuration_it_says_how_to_set_it_up",
    ),
    "The key goes to the address of `EMOTICRAFTER_CHAT_URL` alone, not even after a redirect elsewhere.": (
        "comfyui/test_rewrite.py::"
        "test_the_key_of_the_environment_goes_to_its_address_and_is_found_nowhere_else",
        "test_rewriting.py::test_the_key_does_not_follow_a_redirect",
    ),
    "The same inputs give the same text again without asking; another **seed** asks for another one.": (
        "test_rewriting.py::test_the_same_question_is_asked_once_and_any_other_again",
    ),
    "No answer, or one that is no prompt, stops what hangs on this node and says why; the other pictures of the graph "
    "are drawn.": (
        "comfyui/test_rewrite.py::test_an_endpoint_that_is_down_costs_no_other_branch",
        "comfyui/test_rewrite.py::test_an_answer_that_is_no_prompt_draws_nothing",
        "test_rewriting.py::test_an_answer_that_is_no_prompt_is_refused",
    ),
    # When something does not work
    "The node that stopped says what it expected, what came and what to do; the most common messages are in the "
    "[README](../README.md#when-something-goes-wrong).": (
        "test_docs.py::test_the_readme_names_every_message_as_the_code_words_it",
    ),
}

NO_CLAIMS = (
    "Every step of this guide is a small graph.",
    "It is this graph:",
    "Try the opposite point there.",
    "This is a promise about the text, not about the picture: the image model has habits of its own.",
    "Name few.",
    "There are two ways to draw them.",
    "Long lines in one direction are what the network does not reach.",
    "The miniature's reader reads the miniature's pictures and nothing else.",
    "A reader errs, too: look at the order of many pictures.",
    "An animation model that draws a batch as frames should take **emotion** in the same way, one emotion per frame; "
    "no such model is tested here.",
)
"""What leads over, advises, or says where a promise ends."""

REPORTED = (
    "Arousal is the harder one: try 1.5.",
    "The first steps of the denoising lay out the picture, the last ones paint it.",
    "The published network brings people into pictures that asked for none.",
)
"""What the paper measured, and what is known of diffusion models: no code here makes it so."""
