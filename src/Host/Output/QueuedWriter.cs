using System.Text;

namespace StreamsHost.Output;

/// <summary>Lines for standard output, in the order of the log's.</summary>
internal sealed class QueuedWriter(QueuedConsole console) : TextWriter
{
    public override Encoding Encoding => StandardText.Encoding;

    public override void Write(char value) => console.WriteOutput(value.ToString());

    public override void Write(string? value) => console.WriteOutput(value ?? string.Empty);

    public override void WriteLine(string? value) => console.WriteOutput(value + NewLine);
}
